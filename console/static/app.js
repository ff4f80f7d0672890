// What every page does where scripts run. Without them nothing is missing but comfort.

import { startRefreshing } from "./refresh.js";
import { showLocalTimes } from "./times.js";

showLocalTimes(document);
startRefreshing(document.querySelector("main"));

// In the list a recording plays as soon as its player is opened, and falls silent when that is closed.
document.addEventListener("toggle", ({ target }) => {
  if (!target.matches("details.listen")) return;
  const audio = target.querySelector("audio");
  if (target.open) audio.play().catch(() => {});  // a browser may want a click on the player itself
  else audio.pause();
}, true);

// Only one recording plays at a time.
document.addEventListener("play", ({ target }) => {
  for (const audio of document.querySelectorAll("audio")) if (audio !== target) audio.pause();
}, true);
