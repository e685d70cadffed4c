import type { SessionEvent } from "itsbox-client";
import { asJson, eventAsCurl } from "../logic/copies";
import { decode } from "../logic/decode";
import { pageOf } from "../logic/hits";
import { shown, violationOf } from "../logic/shapes";
import { apiKey, baseUrl } from "../state/api";
import { arch } from "../state/arch";
import { go } from "../state/router";
import type { SessionModel } from "../state/session";
import { Copy } from "../ui/marks";
import { EvidenceList, pageLink } from "./violations";

/** One event in full: every datum, a command's decoded fields, and how to do or fetch it again. */
export function EventDetail({ event, model, onClose }: { event: SessionEvent; model: SessionModel; onClose: () => void }) {
  const words = Array.isArray(event.data.words) ? event.data.words.map(String) : null;
  const decoded = words ? decode(words, arch.value.commands, typeof event.data.name === "string" ? event.data.name : null) : null;
  const violation = event.type === "violation" ? violationOf(event.data) : null;
  const facts = violation ? { oracle: violation.oracle, sentence: violation.sentence, bucket: violation.bucket } : event.data;
  const page = pageOf(event);
  return (
    <aside class="panel" aria-label={`Event ${event.seq}`}>
      <header>
        <h2>
          Event {event.seq} · {event.type}
        </h2>
        <button type="button" class="plain" onClick={onClose}>
          Close
        </button>
      </header>
      <div class="body detail">
        <dl class="kv">
          <dt>step</dt>
          <dd>{event.step}</dd>
          {Object.entries(facts).map(([name, value]) => (
            <Datum key={name} name={name} value={value} />
          ))}
        </dl>
        {violation && <EvidenceList evidence={violation.evidence} pageLink={pageLink(model.id, event.seq)} />}
        {decoded && decoded.fields.length > 0 && (
          <>
            <h3>{decoded.name} decoded</h3>
            <dl class="kv">
              {decoded.fields.map((field) => (
                <Datum key={field.name} name={`${field.name} ${field.bits}`} value={field.value} />
              ))}
            </dl>
          </>
        )}
        <div class="row">
          <Copy text={() => eventAsCurl(event, model.id, baseUrl, apiKey.peek() !== null)}>Copy as curl</Copy>
          <Copy text={() => asJson(event)}>Copy as JSON</Copy>
          <button type="button" onClick={() => go({ page: "session", id: model.id, view: "queues", at: event.seq })}>
            Show this moment
          </button>
          {page !== null && (
            <button type="button" onClick={() => go({ page: "session", id: model.id, view: "memory", at: event.seq, addr: page })}>
              Show the page
            </button>
          )}
        </div>
      </div>
    </aside>
  );
}

function Datum({ name, value }: { name: string; value: unknown }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{Array.isArray(value) ? value.map((item, index) => <div key={index}>{shown(item)}</div>) : shown(value)}</dd>
    </>
  );
}
