// What happens elsewhere. The list follows the change feed of its view (server-sent events); after each message of it
// the log is asked for what is new. Where the server cannot stream (AWS Lambda), the log is asked now and then.
//
// Whatever happens to the connection, no event is shown twice or missed: the log is asked from the last position that
// was seen, and the browser takes the feed up again where it was, or the feed begins anew with a reset.

import { events } from "/static/api.js";

const RECENT = 60; // how much of the past to show at first
const AGAIN = 1_000; // until the next attempt, if the server answers and has no feed at the moment

export class Stream {
  constructor(on) {
    this.on = on; // { told(name, data), recorded(record), status(status), reset(), state(name) }
    this.position = null;
    this.source = null;
    this.timer = 0;
    this.failures = 0;
    this.asks = false; // whether the server cannot stream
    this.turn = 0; // which attempt is the present one: an answer to an earlier one is not used
    this.asking = false;
    this.again = false;
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
    this.asking = false;
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  begin() {
    this.stop();
    if (!document.hidden) this.ask();
  }

  listen() {
    const source = new EventSource("/api/tasks");
    this.source = source;
    let level = false; // what a feed tells first is the past
    for (const name of ["reset", "put", "delete", "level"]) {
      source.addEventListener(name, (message) => {
        this.on.told(name, JSON.parse(message.data));
        level = name === "level" || (level && name !== "reset");
        if (level) this.ask();
      });
    }
    source.onopen = () => this.on.state("live");
    source.onerror = () => {
      // A feed ends now and then, and the browser comes back by itself. Whether the server is there, the log tells.
      if (source === this.source) this.later(source.readyState === EventSource.CLOSED ? AGAIN : 0);
    };
  }

  later(pause) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), pause);
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

  // Ask the log for what is new: one request at a time, and another one if something happens meanwhile.
  async ask() {
    this.again = true;
    if (this.asking || document.hidden) return;
    this.asking = true;
    clearTimeout(this.timer);
    const { turn } = this;
    try {
      let page;
      while (this.again) {
        this.again = false;
        page = await events(this.query);
        if (turn !== this.turn) return;
        this.asks = !page.streams;
        if (page.reset) this.reset();
        page.events.forEach((record) => this.take(record));
        this.on.status(page.status);
        this.again ||= page.more;
      }
      this.failures = 0;
      if (this.asks) this.on.state("polling");
      else if (!this.source || this.source.readyState === EventSource.CLOSED) this.listen();
      else if (this.source.readyState === EventSource.OPEN) this.on.state("live");
      const behind = page.status.lag > 0 && page.status.state !== "stopped";
      if (this.asks || behind) this.later(page.every * 1_000);
    } catch {
      if (turn !== this.turn) return;
      this.failures += 1;
      this.on.state("lost");
      this.later(Math.min(500 * this.failures, 5_000));
    } finally {
      if (turn === this.turn) this.asking = false;
    }
  }
}
