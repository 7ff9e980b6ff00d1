import 'uplot/dist/uPlot.min.css';
import { useComputedColorScheme } from '@mantine/core';
import { useEffect, useRef } from 'react';
import UPlot from 'uplot';
import { nanoOf } from '../../shared/money.ts';
import { localTime } from '../../shared/time.ts';
import { showUsd, writeNano } from './amounts.ts';

const HEIGHT_PX = 216;

export interface Point {
  at: string;
  spent_usd: string;
  calls: number;
}

/** Spend and calls over time. The table below it says the same to who does not see it. */
export function SpendChart({ points, name }: { points: readonly Point[]; name: string }) {
  const element = useRef<HTMLDivElement>(null);
  const scheme = useComputedColorScheme('light');
  useEffect(() => {
    const box = element.current!;
    const style = getComputedStyle(document.documentElement);
    const color = (variable: string): string => style.getPropertyValue(variable).trim();
    const axis = {
      stroke: color('--mantine-color-dimmed'),
      grid: { stroke: color('--line'), width: 1 },
      ticks: { show: false },
    };
    const plot = new UPlot(
      {
        width: box.clientWidth,
        height: HEIGHT_PX,
        legend: { show: false },
        cursor: { show: false },
        scales: { x: { time: true }, usd: { range: fromZero(CENT_NANO) }, calls: { range: fromZero(1) } },
        axes: [
          {
            ...axis,
            grid: { show: false },
            values: (_, ticks) => ticks.map((tick, index) => showTick(tick, ticks, index)),
          },
          // Nano-dollars below 2^53 are whole numbers, so that a label never shows a rounded amount.
          {
            ...axis,
            scale: 'usd',
            size: 68,
            values: (_, ticks) => ticks.map((tick) => showUsd(writeNano(BigInt(Math.round(tick))))),
          },
          {
            ...axis,
            scale: 'calls',
            side: 1,
            grid: { show: false },
            size: 44,
            values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? String(tick) : '')),
          },
        ],
        series: [
          {},
          { scale: 'usd', stroke: color('--bar'), width: 2, fill: `${color('--bar')}22`, points: { show: false } },
          { scale: 'calls', stroke: color('--second'), width: 1.5, dash: [4, 3], points: { show: false } },
        ],
      },
      [
        points.map(({ at }) => Date.parse(at) / 1_000),
        points.map(({ spent_usd }) => Number(nanoOf(spent_usd))),
        points.map(({ calls }) => calls),
      ],
      box,
    );
    const watcher = new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: HEIGHT_PX }));
    watcher.observe(box);
    return () => {
      watcher.disconnect();
      plot.destroy();
    };
  }, [points, scheme]);
  const busy = points.filter(({ calls, spent_usd }) => calls > 0 || nanoOf(spent_usd) !== 0n);
  return (
    <>
      <ul className="legend">
        <li data-line="first">
          <span />
          spend, left axis
        </li>
        <li data-line="second">
          <span />
          calls, right axis
        </li>
      </ul>
      <div ref={element} className="chart" aria-hidden="true" />
      <details className="as-table">
        <summary>{name} as a table</summary>
        <section aria-label={name}>
          {busy.length === 0 ? (
            <p>No call and no spend in this time.</p>
          ) : (
            <table className="rows" aria-label={name}>
              <thead>
                <tr>
                  <th>Time</th>
                  <th data-figure>Spend</th>
                  <th data-figure>Calls</th>
                </tr>
              </thead>
              <tbody>
                {busy.map(({ at, spent_usd, calls }) => (
                  <tr key={at}>
                    <td data-title="Time">{localTime(new Date(at), new Date())}</td>
                    <td data-title="Spend" data-figure>
                      {showUsd(spent_usd)}
                    </td>
                    <td data-title="Calls" data-figure>
                      {calls}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </section>
      </details>
    </>
  );
}

/** The axis begins at zero, and has room where nothing happened. */
const fromZero =
  (usual: number) =>
  (_: UPlot, __: number, most: number): [number, number] => [0, most > 0 ? most * 1.1 : usual];
const CENT_NANO = 10_000_000;

const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
/** The clock; or the day, where the ticks are days. */
function showTick(seconds: number, ticks: readonly number[], index: number): string {
  const next = ticks[index + 1] ?? ticks[index - 1] ?? seconds;
  return (Math.abs(next - seconds) >= 86_000 ? DAY : CLOCK).format(seconds * 1_000);
}
