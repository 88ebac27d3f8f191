// The event log, newest first, and the meter that shows how far the view is behind it.

const KEEP = 200;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export class Log {
  constructor(onPoint) {
    this.items = document.getElementById("events");
    this.template = document.getElementById("event-template");
    this.texts = new Map(); // what each task was last called: a delete-task event only names its id
    this.flow = { head: 0, checkpoint: 0, state: "unknown" };
    for (const [type, id] of [["mouseover", true], ["focusin", true], ["mouseleave", false], ["focusout", false]]) {
      this.items.addEventListener(type, (event) => onPoint(id ? event.target.closest?.(".event")?.dataset.task : undefined));
    }
  }

  clear() {
    this.items.replaceChildren();
    this.texts.clear();
    this.flow = { head: 0, checkpoint: 0, state: "unknown" };
    document.getElementById("log-empty").hidden = false;
  }

  append(record, live) {
    const { id, text, done } = record.data;
    if (text !== undefined) this.texts.set(id, text);
    const item = this.template.content.firstElementChild.cloneNode(true);
    item.dataset.type = record.type;
    item.dataset.task = id;
    item.dataset.position = record.position;
    const part = (name) => item.querySelector(name);
    part(".position").textContent = record.position;
    part(".type").textContent = record.type;
    part(".about").textContent = (done === undefined ? "" : done ? "☑ " : "☐ ") + (this.texts.get(id) ?? id);
    const at = new Date(record.recorded_at);
    part("time").textContent = clock.format(at);
    part("time").dateTime = record.recorded_at;
    part("time").title = at.toLocaleString();
    part("pre").textContent = JSON.stringify(record, null, 2);
    if (live) item.classList.add("arrived");
    const reading = this.items.scrollTop > 40; // somebody scrolled down to read: do not push the lines away
    const height = this.items.scrollHeight;
    this.items.prepend(item);
    if (reading) this.items.scrollTop += this.items.scrollHeight - height;
    while (this.items.childElementCount > KEEP) this.items.lastElementChild.remove();
    document.getElementById("log-empty").hidden = true;
    this.show({ head: Math.max(this.flow.head, record.position) }, live);
  }

  show(change, moving = false) {
    const flow = Object.assign(this.flow, change);
    const lag = Math.max(0, flow.head - flow.checkpoint);
    const element = document.getElementById("flow");
    const stopped = flow.state === "stopped";
    element.dataset.state = stopped ? "stopped" : flow.state === "unknown" ? "unknown" : lag ? "behind" : "level";
    document.getElementById("head").textContent = flow.head;
    document.getElementById("checkpoint").textContent = flow.checkpoint;
    document.getElementById("lag").textContent = stopped ? `stopped, lag ${lag}` : `lag ${lag}`;
    const error = document.getElementById("flow-error");
    error.hidden = !stopped;
    error.textContent = stopped ? `The view has stopped: ${flow.stopped ?? "an event could not be folded"}` : "";
    if (moving) {
      element.classList.remove("moving");
      void element.offsetWidth; // begin the animation anew
      element.classList.add("moving");
    }
  }

  point(id) {
    for (const item of this.items.children) item.classList.toggle("linked", id !== undefined && item.dataset.task === id);
  }
}
