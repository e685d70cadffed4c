import { FAMILIES } from "../logic/bins";
import { summary } from "../logic/summary";
import type { SessionModel } from "../state/session";
import { Activity } from "../ui/activity";
import { Chip, Empty, Panel, Scroll } from "../ui/marks";

/** Bins listed in the table beside the chart: the newest ones. */
const BINS_SHOWN = 40;

export function TimelineView({ model }: { model: SessionModel }) {
  const { history } = model.feed;
  const version = model.feed.version.value;
  const at = model.cursor.value;
  const fold = model.fold();
  const { bins } = history;
  const shown = Math.min(BINS_SHOWN, bins.length);
  const total = (name: (typeof FAMILIES)[number]): number => bins.rows[name].reduce((sum, count) => sum + count, 0);
  const event = at === null ? undefined : model.eventAt(at);
  return (
    <>
      <p class="lead">
        The whole history of the session. Drag the scrubber below, or double-click the chart, and every view shows the machine as it was after that
        event; “Fork here” makes a new session from it.
      </p>
      <Panel title="Activity" tools={<Chip>{bins.width === 1 ? "one event" : `${bins.width} events`} a point</Chip>}>
        <Activity bins={bins} version={version} at={at} onPick={(seq) => model.goTo(seq)} />
      </Panel>
      <div class="cols">
        <Panel title={at === null ? "Now" : `After event ${at}`}>
          <dl class="kv">
            <dt>events</dt>
            <dd>{fold.events.toLocaleString("en")}</dd>
            <dt>step</dt>
            <dd>{fold.step}</dd>
            <dt>commands mirrored</dt>
            <dd>{fold.mirrored.toLocaleString("en")}</dd>
            <dt>refusals</dt>
            <dd>{[...fold.refusals.values()].reduce((sum, group) => sum + group.count, 0).toLocaleString("en")}</dd>
            <dt>violations</dt>
            <dd>{[...fold.violations.values()].reduce((sum, group) => sum + group.count, 0).toLocaleString("en")}</dd>
            <dt>changes of pages</dt>
            <dd>{(fold.transitions.length + fold.transitionsDropped).toLocaleString("en")}</dd>
            {event && (
              <>
                <dt>{event.type}</dt>
                <dd>{summary(event)}</dd>
              </>
            )}
          </dl>
        </Panel>
        <Panel title="Events by type" flush>
          <Scroll label="Events by type" class="short">
            <table>
              <tbody>
                {[...fold.byType]
                  .sort((a, b) => b[1] - a[1])
                  .map(([type, count]) => (
                    <tr key={type}>
                      <th scope="row" class="mono">
                        {type}
                      </th>
                      <td class="num">{count.toLocaleString("en")}</td>
                    </tr>
                  ))}
              </tbody>
            </table>
            {fold.byType.size === 0 && <Empty title="No event yet" />}
          </Scroll>
        </Panel>
        <Panel title="What the driver printed">
          {fold.log.length === 0 ? (
            <Empty title="Nothing yet" />
          ) : (
            <div class="console" tabIndex={0} role="group" aria-label="Driver log">
              {fold.log.slice(-200).map((line) => (
                <div key={`${line.seq}`}>{line.line}</div>
              ))}
            </div>
          )}
        </Panel>
      </div>
      <Panel title="The chart as a table" flush>
        <Scroll label="Activity as a table" class="short">
          <table>
            <caption>The newest {shown} points; totals in the first row.</caption>
            <thead>
              <tr>
                <th class="num">from event</th>
                {FAMILIES.map((name) => (
                  <th key={name} class="num">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              <tr>
                <th scope="row" class="num">
                  all
                </th>
                {FAMILIES.map((name) => (
                  <td key={name} class="num">
                    {total(name).toLocaleString("en")}
                  </td>
                ))}
              </tr>
              {Array.from({ length: shown }, (_, back) => bins.length - 1 - back).map((index) => (
                <tr key={index}>
                  <th scope="row" class="num">
                    {index * bins.width + 1}
                  </th>
                  {FAMILIES.map((name) => (
                    <td key={name} class="num">
                      {bins.rows[name][index]}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </Panel>
    </>
  );
}
