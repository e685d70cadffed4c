import { ranked, type Group } from "../logic/groups";
import { summary } from "../logic/summary";
import { arch } from "../state/arch";
import { hashOf } from "../state/router";
import type { SessionModel } from "../state/session";
import { Chip, Empty, Panel } from "../ui/marks";

export function RefusalsView({ model }: { model: SessionModel }) {
  const fold = model.fold();
  const groups = ranked(fold.refusals);
  const total = groups.reduce((sum, group) => sum + group.count, 0);
  return (
    <>
      <p class="lead">
        What the hypervisor refused up to event {fold.seq}, by reason: {total.toLocaleString("en")} {total === 1 ? "refusal" : "refusals"} for {groups.length} {groups.length === 1 ? "reason" : "reasons"}.
      </p>
      {groups.length === 0 && (
        <Panel title="Refusals">
          <Empty title="Nothing was refused">An honest driver never sees a refusal; try an attack from the scenarios.</Empty>
        </Panel>
      )}
      {groups.map((group) => (
        <Refusal key={group.key} group={group} model={model} most={groups[0]!.count} />
      ))}
    </>
  );
}

function Refusal({ group, model, most }: { group: Group; model: SessionModel; most: number }) {
  const known = arch.value.reasons.get(group.key);
  const rules = [...group.rules].sort((a, b) => b[1] - a[1]).slice(0, 12);
  return (
    <Panel
      title={group.key}
      tools={
        <span class="row">
          <meter min={0} max={most} value={group.count} aria-label={`${group.count} of ${most}`} />
          <b class="mono">{group.count.toLocaleString("en")}</b>
        </span>
      }
    >
      <div class="detail">
        {known && (
          <p>
            {known.sentence} {known.citation && <span class="soft">({known.citation})</span>}
          </p>
        )}
        <div class="row">
          {rules.map(([rule, count]) => (
            <Chip key={rule} tone="warn">
              {rule} × {count.toLocaleString("en")}
            </Chip>
          ))}
        </div>
        <Samples events={group.samples} model={model} count={group.count} />
      </div>
    </Panel>
  );
}

/** The newest events of a group, each a way to the moment it happened. */
export function Samples({ events, model, count }: { events: Group["samples"]; model: SessionModel; count: number }) {
  const newest = [...events].reverse();
  return (
    <details open={count <= 5}>
      <summary class="soft">
        {count > events.length ? `the newest ${events.length} of ${count.toLocaleString("en")}` : count === 1 ? "the event" : `all ${count}`}
      </summary>
      <ul class="plainlist mono">
        {newest.map((event) => (
          <li key={event.seq}>
            <a href={hashOf({ page: "session", id: model.id, view: "events", at: event.seq })}>event {event.seq}</a> {summary(event)}
          </li>
        ))}
      </ul>
    </details>
  );
}
