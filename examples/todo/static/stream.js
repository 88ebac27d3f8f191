// The live log: server-sent events, or asking again and again where the server cannot stream (AWS Lambda).
//
// Whatever happens to the connection, no event is missed and none is shown twice: every event carries its position,
// and each connection begins after the last position that was seen.

import { events } from "/static/api.js";

const RECENT = 60; // how much of the past to show at first
const SILENCE = 25_000; // the server says something at least every 10 seconds; after this long the line is dead

export class Stream {
  constructor(on) {
    this.on = on; // { recorded(record), status(status), reset(), state(name) }
    this.position = null;
    this.source = null;
    this.timer = 0;
    this.failures = 0;
    this.asks = false; // whether the server cannot stream
    this.turn = 0; // which attempt is the present one: an answer to an earlier one is not used
    // A browser opens six connections to one host: hidden windows let go of theirs, so that any number can be open.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.stop() : this.begin()));
    addEventListener("online", () => this.begin());
    addEventListener("pageshow", (event) => event.persisted && this.begin()); // back from another page
    this.begin();
  }

  get query() {
    return this.position === null ? `recent=${RECENT}` : `after=${this.position}`;
  }

  stop() {
    this.turn += 1;
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  // Ask once: the answer has what was missed meanwhile, and says whether the server can stream what comes next.
  begin() {
    this.stop();
    if (!document.hidden) this.poll();
  }

  // Something happened here: where we would ask only after a while, ask now.
  nudge() {
    if (this.asks) this.begin();
  }

  listen() {
    this.stop();
    const source = new EventSource(`/api/events?${this.query}`);
    this.source = source;
    const on = (name, use) =>
      source.addEventListener(name, (message) => {
        this.alive();
        use(JSON.parse(message.data));
      });
    on("recorded", (record) => this.take(record));
    on("status", (status) => this.on.status(status));
    on("reset", () => this.reset());
    source.onopen = () => this.alive();
    source.onerror = () => {
      if (source !== this.source) return;
      this.begin();
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
    this.timer = setTimeout(() => this.begin(), SILENCE);
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
    const { turn } = this;
    try {
      const page = await events(this.query);
      if (turn !== this.turn) return;
      if (page.reset) this.reset();
      page.events.forEach((record) => this.take(record));
      this.on.status(page.status);
      this.failures = 0;
      this.asks = !page.streams;
      if (page.streams) return this.listen();
      this.on.state("polling");
      this.timer = setTimeout(() => this.poll(), page.more ? 0 : page.every * 1_000);
    } catch {
      if (turn !== this.turn) return;
      this.failures += 1;
      this.on.state("lost");
      this.timer = setTimeout(() => this.poll(), Math.min(500 * this.failures, 5_000));
    }
  }
}
