// The requests of the page: every answer leaves a line, and the limit's headers move the meter.

import { onAnswer } from "/static/http.js";
import { by } from "/static/draw.js";

const tally = { kept: 0, sent: 0 };
const latest = new Map(); // method and path -> its last line: looks with the same outcome are counted there

onAnswer((method, path, status, milliseconds, headers) => {
  const name = `${method} ${path}`;
  let line = latest.get(name);
  if (method !== "GET" || line?.dataset.status !== String(status) || !line.isConnected) {
    line = document.createElement("li");
    for (const part of ["status", "method", "path", "times", "took"]) line.append(Object.assign(document.createElement("span"), { className: part }));
    line.dataset.status = status;
    line.dataset.kind = status === 304 ? "kept" : status >= 400 ? "refused" : status === 202 ? "later" : "sent";
    line.dataset.times = 0;
    by("traffic").prepend(line);
    latest.set(name, line);
  }
  line.dataset.times = Number(line.dataset.times) + 1;
  const part = (name, text) => (line.querySelector(`.${name}`).textContent = text);
  part("status", status);
  part("method", method);
  part("path", path.replace(/[0-9a-f]{24}/, (id) => `…${id.slice(-4)}`));
  part("times", line.dataset.times === "1" ? "" : `×${line.dataset.times}`);
  part("took", `${Math.round(milliseconds)} ms`);
  while (by("traffic").childElementCount > 60) by("traffic").lastElementChild.remove();
  tally[status === 304 ? "kept" : "sent"] += 1;
  by("tally").textContent = `${tally.kept} of ${tally.kept + tally.sent} from cache`;
  if (headers.has("X-RateLimit-Limit")) meter(headers);
});

let refill = 0; // the timer that fills the meter again

function meter(headers) {
  const limit = Number(headers.get("X-RateLimit-Limit"));
  const left = Number(headers.get("X-RateLimit-Remaining"));
  const wait = Number(headers.get("X-RateLimit-Reset")) * 1_000 - Date.now();
  drawMeter(left, limit);
  clearTimeout(refill);
  refill = setTimeout(() => drawMeter(limit, limit), Math.min(Math.max(wait, 0), 12_000));
}

function drawMeter(left, limit) {
  const element = by("meter");
  while (element.childElementCount < limit) element.append(document.createElement("span"));
  [...element.children].forEach((dot, place) => dot.classList.toggle("used", place >= left));
  element.setAttribute("aria-valuenow", left);
  element.setAttribute("aria-valuemax", limit);
  element.dataset.state = left === 0 ? "empty" : left <= 3 ? "low" : "fine";
  by("meter-text").textContent = left === 0 ? "none left" : `${left} left`;
}

// Of somebody who has just come nothing is counted yet.
export function full() {
  clearTimeout(refill);
  drawMeter(10, 10);
}
