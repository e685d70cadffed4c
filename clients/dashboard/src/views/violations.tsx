import { useMemo } from "preact/hooks";
import { asJson } from "../logic/copies";
import { ranked } from "../logic/groups";
import { shown, violationOf } from "../logic/shapes";
import { hashOf } from "../state/router";
import type { SessionModel } from "../state/session";
import { Chip, Copy, Empty, Panel } from "../ui/marks";

export function ViolationsView({ model }: { model: SessionModel }) {
  const fold = model.fold.value;
  const groups = useMemo(() => ranked(fold.violations), [fold, fold.events]);
  return (
    <>
      <p class="lead">
        What the oracle objects to, up to event {fold.seq}. A violation is a verdict, not an error: the machine went on as hardware would, and memory
        isolation did not hold.
      </p>
      {groups.length === 0 && (
        <Panel title="Violations">
          <Empty title="Isolation held">Every step was judged; none let the ITS or a redistributor touch what it must not.</Empty>
        </Panel>
      )}
      {groups.map((group) => {
        const newest = violationOf(group.samples.at(-1)!.data);
        return (
          <Panel
            key={group.key}
            title={group.key}
            tools={
              <span class="row">
                <Chip tone="bad">▲ {newest.oracle}</Chip>
                <b class="mono">{group.count.toLocaleString("en")}</b>
              </span>
            }
          >
            <div class="detail">
              <p>{newest.sentence}</p>
              {[...group.samples].reverse().slice(0, 5).map((event) => (
                <Evidence key={event.seq} data={event.data} seq={event.seq} model={model} />
              ))}
              {group.count > 5 && <p class="soft">The newest 5 of {group.count.toLocaleString("en")} are shown.</p>}
            </div>
          </Panel>
        );
      })}
    </>
  );
}

function Evidence({ data, seq, model }: { data: Record<string, unknown>; seq: number; model: SessionModel }) {
  const { evidence } = violationOf(data);
  return (
    <section class="evidence" aria-label={`Evidence of event ${seq}`}>
      <div class="row">
        <a href={hashOf({ page: "session", id: model.id, view: "events", at: seq })}>event {seq}</a>
        <span class="grow" />
        <Copy text={() => asJson(data)}>Copy as JSON</Copy>
      </div>
      <dl class="kv">
        {Object.entries(evidence).map(([name, value]) => (
          <div key={name} class="pair">
            <dt>{name}</dt>
            <dd>{shown(value)}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
