// The player of a recording: its waveform, steps of ten seconds, the speed, and each voice of a split recording.
//
// Playing itself is the browser's: without scripts the same <audio> is there alone.

import WaveSurfer from "./vendor/wavesurfer.esm.js";
import { voicesOf } from "./voices.js";

const STEP = 10;  // seconds
const HEIGHTS = [96, 64];  // pixels a channel: of one, of several
// Wavesurfer brings a style of its own, which the page's policy allows by this word only.
const nonce = document.querySelector("script[nonce]").nonce;
const players = new WeakMap();

function setUp() {
  for (const element of document.querySelectorAll(".player")) {
    if (!players.has(element)) players.set(element, new Player(element));
    players.get(element).drawOnce();
  }
}

class Player {
  constructor(element) {
    this.element = element;
    this.audio = element.querySelector("audio");
    this.wave = element.querySelector(".wave");
    const controls = element.querySelector(".controls");
    for (const button of controls.querySelectorAll("[data-step]")) {
      button.addEventListener("click", () => this.step(Number(button.dataset.step)));
    }
    const speed = controls.querySelector("select");
    speed.addEventListener("change", () => { this.audio.playbackRate = Number(speed.value); });
    this.wave.addEventListener("keydown", (event) => this.press(event));
    for (const change of ["timeupdate", "seeking", "durationchange"]) {
      this.audio.addEventListener(change, () => this.showTime());
    }
    this.audio.addEventListener("error", () => { element.querySelector(".trouble").hidden = false; });
    this.audio.addEventListener("playing", () => { element.querySelector(".trouble").hidden = true; });
    controls.hidden = false;
    this.showTime();
  }

  get seconds() {
    return this.audio.duration || Number(this.element.dataset.seconds) || 0;
  }

  step(seconds) {
    this.seek(this.audio.currentTime + seconds);
  }

  seek(seconds) {
    const place = Math.max(0, Math.min(this.seconds, seconds));
    if (this.surfer) this.surfer.setTime(place);  // the waveform follows, also before any audio has come
    else this.audio.currentTime = place;
    this.showTime();
  }

  press(event) {
    const { audio } = this;
    const act = {
      " ": () => (audio.paused ? audio.play() : audio.pause()),
      ArrowLeft: () => this.step(-STEP),
      ArrowRight: () => this.step(STEP),
      Home: () => this.seek(0),
      End: () => this.seek(this.seconds),
    }[event.key];
    if (!act || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    act();
  }

  showTime() {
    const text = `${clock(this.audio.currentTime)} of ${clock(this.seconds)}`;
    this.element.querySelector(".clock").textContent = text;
    this.wave.setAttribute("aria-valuenow", Math.round(this.audio.currentTime));
    this.wave.setAttribute("aria-valuemax", Math.round(this.seconds));
    this.wave.setAttribute("aria-valuetext", text);
  }

  // --- The waveform ---

  async drawOnce() {
    const address = this.element.dataset.waveform;
    if (!address || this.address) return;
    this.address = address;
    const reply = await fetch(address);
    if (reply.ok) this.draw(await reply.json());
  }

  draw({ duration, peaks }) {
    this.element.dataset.seconds = duration;
    this.wave.hidden = false;
    const colours = () => coloursOf(this.element, peaks.length);
    const surfer = this.surfer = WaveSurfer.create({
      container: this.wave, media: this.audio, peaks, duration, cspNonce: nonce, normalize: true, dragToSeek: true,
      height: HEIGHTS[Math.min(peaks.length, HEIGHTS.length) - 1], barWidth: 2, barGap: 1, ...colours(),
    });
    surfer.on("timeupdate", () => this.showTime());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => surfer.setOptions(colours()));
    if (peaks.length === 2) this.offerVoices();
    this.showTime();
  }

  offerVoices() {
    const voices = this.element.querySelector(".voices");
    const mute = voicesOf(this.audio, 2);
    voices.querySelectorAll("input").forEach((box, channel) => {
      box.addEventListener("change", () => mute(channel, box.checked));
    });
    voices.hidden = false;
  }
}

function coloursOf(element, channels) {
  const style = getComputedStyle(element);
  const lanes = Array.from({ length: channels }, (_, channel) => ({
    waveColor: style.getPropertyValue(channel % 2 ? "--second-ahead" : "--first-ahead"),
    progressColor: style.getPropertyValue(channel % 2 ? "--second-heard" : "--first-heard"),
  }));
  const cursorColor = style.color;
  return channels > 1 ? { cursorColor, splitChannels: lanes } : { cursorColor, ...lanes[0] };
}

function clock(seconds) {
  const whole = Math.round(seconds);
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60, rest = whole % 60;
  const pad = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${pad(minutes)}:${pad(rest)}` : `${minutes}:${pad(rest)}`;
}

setUp();
document.addEventListener("refreshed", setUp);
