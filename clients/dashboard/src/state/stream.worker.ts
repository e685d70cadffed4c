// Owns the socket and parses its frames, so that ten megabytes of events at once never block the page. What the page
// has no room for waits here; beyond HIGH_WATER the socket is let go and the service keeps the rest: nothing is lost.

import { ItsboxClient, type EventStream } from "itsbox-client";
import { Outbox } from "./outbox";
import { HIGH_WATER, LOW_WATER, type FromWorker, type ToWorker } from "./protocol";

const outbox = new Outbox();
let stream: EventStream | null = null;
let room = 0;
let held = false;
let told = 0;

const say = (message: FromWorker): void => self.postMessage(message);

function pump(): void {
  if (room > 0 && !outbox.empty) {
    const items = outbox.take(room);
    room = 0; // one message at a time: the page asks for more once it has drawn
    told = outbox.queued;
    say({ op: "items", items, queued: outbox.queued });
  } else if (Math.abs(outbox.queued - told) >= 100) {
    told = outbox.queued;
    say({ op: "queued", queued: outbox.queued });
  }
  if (!held && outbox.queued >= HIGH_WATER) {
    held = true;
    stream?.hold();
  } else if (held && outbox.queued <= LOW_WATER) {
    held = false;
    stream?.release();
  }
}

self.onmessage = ({ data }: MessageEvent<ToWorker>): void => {
  switch (data.op) {
    case "open": {
      const client = new ItsboxClient({ baseUrl: data.baseUrl, apiKey: data.apiKey });
      stream = client.stream(data.session, {
        after: data.after,
        epoch: data.epoch,
        onItems: (items) => {
          outbox.put(items);
          pump();
        },
        onState: (state) => say({ op: "state", state }),
      });
      stream.open();
      return;
    }
    case "more":
      room = data.room;
      return pump();
    case "retry":
      return stream?.retryNow();
    case "close":
      stream?.close();
      return self.close();
  }
};
