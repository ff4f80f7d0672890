// Writes each time in the reader's zone. The server writes UTC, which stays in the title.

const format = new Intl.DateTimeFormat("sv-SE", {  // 2026-11-27 10:11:54
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
  timeZoneName: "short",
});

export function showLocalTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    if (!time.textContent.endsWith(" UTC")) continue;
    time.title ||= time.textContent;
    time.textContent = format.format(new Date(time.dateTime));
  }
}
