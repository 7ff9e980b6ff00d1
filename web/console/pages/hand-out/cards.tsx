import { useEffect, useState } from 'react';
import { localTime } from '../../../shared/time.ts';
import { Qr } from '../../kit/qr.tsx';

export const PAPERS = [
  { value: 'a4', label: 'A4' },
  { value: 'letter', label: 'Letter' },
] as const;
export type Paper = (typeof PAPERS)[number]['value'];

/** Two beside each other, five below each other. */
const ON_A_SHEET = 10;
const LONG_CHARACTERS = 20;

export interface Slip {
  title: string;
  label: string;
  /** The code in its groups, or the key. */
  value: string;
  /** What the QR code says. */
  scan: string;
  expiresAt: string | null;
  steps: readonly string[];
}

export function Cards({ slips, paper }: { slips: readonly Slip[]; paper: Paper }) {
  const [now] = useState(() => new Date());
  // The whole document has the paper's size: a part of it alone would leave an empty page of another size.
  useEffect(() => {
    document.body.dataset.paper = paper;
    return () => {
      delete document.body.dataset.paper;
    };
  }, [paper]);
  const sheets = Array.from({ length: Math.ceil(slips.length / ON_A_SHEET) }, (_, index) =>
    slips.slice(index * ON_A_SHEET, (index + 1) * ON_A_SHEET),
  );
  return (
    <div className="sheets">
      {sheets.map((sheet, index) => (
        <section key={sheet[0]!.value} className="sheet" data-paper={paper} aria-label={`Sheet ${index + 1}`}>
          {sheet.map((slip) => (
            <div key={slip.value} className="slip">
              <Qr text={slip.scan} name={`QR code of ${slip.value}`} />
              <div>
                <b>{slip.title}</b>
                {slip.label !== '' && <span> · {slip.label}</span>}
                <code className={slip.value.length > LONG_CHARACTERS ? 'long' : undefined}>{slip.value}</code>
                {slip.expiresAt !== null && <p>until {localTime(new Date(slip.expiresAt), now)}</p>}
                <ol>
                  {slip.steps.map((step) => (
                    <li key={step}>{step}</li>
                  ))}
                </ol>
              </div>
            </div>
          ))}
        </section>
      ))}
    </div>
  );
}
