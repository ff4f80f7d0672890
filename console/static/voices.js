// Mutes the voices of a split recording one by one: channel by channel, between the player and the loudspeaker.

// Returns a function `(channel, muted)`. Until its first call, which must come from a click, nothing is changed.
export function voicesOf(audio, count) {
  let gains;
  return (channel, muted) => {
    gains ??= split(audio, count);
    gains[channel].gain.value = muted ? 0 : 1;
  };
}

function split(audio, count) {
  const context = new AudioContext();
  const splitter = context.createChannelSplitter(count);
  const merger = context.createChannelMerger(count);
  const gains = Array.from({ length: count }, (_, channel) => {
    const gain = context.createGain();
    splitter.connect(gain, channel);
    gain.connect(merger, 0, channel);
    return gain;
  });
  context.createMediaElementSource(audio).connect(splitter);
  merger.connect(context.destination);
  audio.addEventListener("play", () => context.resume());
  context.resume();
  return gains;
}
