// The live log: server-sent events, or asking again and again where the server cannot stream (AWS Lambda).
//
// Whatever happens to the connection, no event is missed and none is shown twice: every event carries its position,
// and each connection begins after the last position that was seen.

import { events } from "/static/api.js";

const RECENT = 60; // how much of the past to show at first
const SILENCE = 25_000; // the server says something at least every 10 seconds; after this long the line is dead
const POLL = 1_500;

export class Stream {
  constructor(on) {
    this.on = on; // { recorded(record), status(status), reset(), state(name) }
    this.position = null;
    this.source = null;
    this.timer = 0;
    this.failures = 0;
    // A browser opens six connections to one host: hidden windows let go of theirs, so that any number can be open.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.stop() : this.start()));
    addEventListener("online", () => this.start());
    this.start();
  }

  get query() {
    return this.position === null ? `recent=${RECENT}` : `after=${this.position}`;
  }

  stop() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  start() {
    this.stop();
    if (document.hidden) return;
    const source = new EventSource(`/api/events?${this.query}`);
    this.source = source;
    const listen = (name, use) =>
      source.addEventListener(name, (message) => {
        this.alive();
        use(JSON.parse(message.data));
      });
    listen("recorded", (record) => this.take(record));
    listen("status", (status) => this.on.status(status));
    listen("reset", () => this.reset());
    source.onopen = () => this.alive();
    source.onerror = () => {
      if (source !== this.source) return;
      this.stop();
      this.poll(); // no stream: perhaps the server only answers questions, perhaps it is gone
    };
    this.watch();
  }

  alive() {
    this.failures = 0;
    this.on.state("live");
    this.watch();
  }

  watch() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.start(), SILENCE);
  }

  take(record) {
    if (this.position !== null && record.position <= this.position) return;
    this.position = record.position;
    this.on.recorded(record);
  }

  // The log is not the one we knew (a server that keeps it in memory was started anew): begin again.
  reset() {
    this.position = 0;
    this.on.reset();
  }

  async poll() {
    try {
      const page = await events(this.query);
      if (this.source || document.hidden) return;
      if (page.reset) this.reset();
      page.events.forEach((record) => this.take(record));
      this.on.status(page.status);
      this.failures = 0;
      if (page.streams) return this.start(); // it can stream after all: the connection was only interrupted
      this.on.state("polling");
      this.timer = setTimeout(() => this.poll(), page.more ? 0 : POLL);
    } catch {
      if (this.source || document.hidden) return;
      this.failures += 1;
      this.on.state("lost");
      this.timer = setTimeout(() => this.poll(), Math.min(500 * this.failures, 5_000));
    }
  }
}
