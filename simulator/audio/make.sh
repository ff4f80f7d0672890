#!/bin/sh
# Makes the speech beside it. Needs espeak-ng, sox, lame and oggenc; nobody who only uses the files needs any of them.
# Vonage's parameters: MP3 16 kHz CBR 32 kbit/s, WAV 16-bit 16 kHz PCM.
# https://developer.vonage.com/en/voice/voice-api/guides/recording
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { # say VOICE PITCH FILE TEXT
    espeak-ng -v "$1" -p "$2" -s 165 -w "$work/raw.wav" "$4"
    sox -G "$work/raw.wav" -r 16000 -c 1 -b 16 -D "$work/$3.wav"
}

# One voice, one channel: a voicemail.
say en-gb 45 voicemail "Good morning, this is Ada Lovelace. Please call me back about the analytical engine. My number ends in zero four two. Thank you."
lame --quiet -m m --resample 16 -b 32 --cbr -t "$work/voicemail.wav" voicemail.mp3
oggenc --quiet --serial 1 -q 2 -o voicemail.ogg "$work/voicemail.wav"
say en-gb 45 short "Good morning, this is Ada Lovelace. Please call me back. Thank you."
cp "$work/short.wav" voicemail.wav

# Two voices: the caller on the left, the callee on the right, each silent while the other speaks.
say en-gb 40 caller1 "Hello, is that the office?"
say en-us 80 callee1 "Yes, how can I help?"
say en-gb 40 caller2 "I should like to order two tapes."
say en-us 80 callee2 "Of course. They leave today."
length() { soxi -D "$work/$1.wav"; }
at() { echo "$@" | awk '{ s = 0; for (i = 1; i <= NF; i++) s += $i + 0.2; print s }'; }
one=$(length caller1); two=$(length callee1); three=$(length caller2)
sox -D "$work/caller2.wav" "$work/caller2at.wav" pad "$(at "$one" "$two")"
sox -D "$work/callee1.wav" "$work/callee1at.wav" pad "$(at "$one")"
sox -D "$work/callee2.wav" "$work/callee2at.wav" pad "$(at "$one" "$two" "$three")"
sox -D -m -v 1 "$work/caller1.wav" -v 1 "$work/caller2at.wav" "$work/left.wav"
sox -D -m -v 1 "$work/callee1at.wav" -v 1 "$work/callee2at.wav" "$work/right.wav"
sox -D -M "$work/left.wav" "$work/right.wav" dialogue.wav
lame --quiet -m s --resample 16 -b 32 --cbr -t dialogue.wav dialogue.mp3
oggenc --quiet --serial 2 -q 2 -o dialogue.ogg dialogue.wav
