// Keeps an open page up to date: asks for it anew every `data-refresh` seconds, and changes only what has changed.
//
// It disturbs nobody. What a person uses stays as it is: an open detail, a form, a player, the place of each row. New
// rows of a list are counted in one line. A hidden tab asks for nothing.

import { showLocalTimes } from "./times.js";

const LONGEST_WAIT = 120;  // seconds, after replies that did not come
const PATIENCE = 10_000;  // milliseconds for one reply
const SIGNED_OUT = "This page is not kept up to date any more, because you are signed out.";
const IN_USE = "details[open], form, .player, [role=status]";

export function startRefreshing(main) {
  if (!main?.dataset.refresh) return;
  const news = document.querySelector("#news");
  let timer, failures = 0, asking = false;

  async function refresh() {
    if (asking || document.hidden) return;
    asking = true;
    const reply = await ask();
    asking = false;
    if (reply?.status === 401) {
      tell(news, SIGNED_OUT, "Sign in");
      return;
    }
    failures = reply?.ok ? 0 : failures + 1;  // the server restarts, or the network is away: ask less often
    if (reply?.ok) bringIn(reply.page.querySelector("main"), main, news);
    plan();
  }

  function plan() {
    clearTimeout(timer);
    const seconds = Math.min(LONGEST_WAIT, Number(main.dataset.refresh) * 2 ** failures);
    if (seconds && !document.hidden) timer = setTimeout(refresh, seconds * 1000);
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
  plan();
}

// The reply, with the page in it; nothing where none came in time.
async function ask() {
  const headers = { "X-Asked-By-Itself": "yes" };
  try {
    const reply = await fetch(location.href, { headers, signal: AbortSignal.timeout(PATIENCE) });
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    return { ok: reply.ok, status: reply.status, page };
  } catch {
    return undefined;
  }
}

function bringIn(fresh, main, news) {
  showLocalTimes(fresh);
  let rows = 0;
  const isNewRow = (node) => node instanceof Element && node.matches("tbody > tr[id]") && ++rows;
  Idiomorph.morph(main, fresh.innerHTML, {
    morphStyle: "innerHTML",
    callbacks: {
      beforeNodeAdded: (node) => !isNewRow(node),
      beforeNodeMorphed: (node, fresh) => !isInUse(node) || leaveAsItIs(node, fresh),
      beforeNodeRemoved: (node) => !isInUse(node) && !holdsAttention(node),
    },
  });
  main.dataset.refresh = fresh.dataset.refresh ?? "";
  if (rows) tell(news, rows === 1 ? `1 new ${main.dataset.row}.` : `${rows} new ${main.dataset.rows}.`, "Show");
  document.dispatchEvent(new Event("refreshed"));
}

function isInUse(node) {
  return node instanceof Element && node.matches(IN_USE);
}

function leaveAsItIs(node, fresh) {
  Object.assign(node.dataset, fresh.dataset);  // so that a player hears of its waveform
  return false;
}

function holdsAttention(node) {
  if (!(node instanceof Element)) return false;
  const plays = [...node.querySelectorAll("audio")].some((audio) => !audio.paused);
  return plays || node.matches("tbody > tr[id]") || node.contains(document.activeElement);
}

function tell(news, sentence, word) {
  if (news.firstChild?.data === `${sentence} `) return;
  const link = document.createElement("a");
  link.href = location.href;
  link.textContent = word;
  news.replaceChildren(`${sentence} `, link);
}
