import type { Gate } from '#libs/contracts/claims.js';
import { duration } from '../../shared/time.ts';
import { showUsd } from './amounts.ts';

interface Props {
  title: string;
  text: string;
  logo: string | null;
  contact: string | null;
  budgetUsd: string | null;
  ttlSeconds: number | null;
  models: readonly string[];
  shortChats: number | null;
  maxClaims: number | null;
  gate: Gate;
  retentionDays: number | null;
}

/** The first button of each gate. */
const PRESSED: Readonly<Record<Gate, string>> = {
  pow: 'Get my key',
  code: 'Get my key',
  github: 'Continue with GitHub',
  email: 'Send me a code',
};

/** What a visitor will see. */
export function ClaimPreview(props: Props) {
  const { title, text, logo, contact, budgetUsd, ttlSeconds, models, shortChats, maxClaims, gate, retentionDays } =
    props;
  return (
    <aside className="preview" aria-label="Preview of the claim page">
      <p className="preview-label">What a visitor sees</p>
      <div className="claim">
        {logo && <img src={logo} alt="" />}
        <p className="claim-title">{title || 'Try your project'}</p>
        {text && <p>{text}</p>}
        <p>
          <b>{budgetUsd === null ? '$–' : showUsd(budgetUsd)}</b>
          {' · '}
          {ttlSeconds === null ? 'no end' : duration(ttlSeconds)}
          {models.length > 0 && ` · ${models.join(', ')}`}
        </p>
        <p className="dimmed">
          {shortChats !== null && `about ${shortChats.toLocaleString('en')} short chats`}
          {shortChats !== null && maxClaims !== null && ' · '}
          {maxClaims !== null && `${maxClaims.toLocaleString('en')} of ${maxClaims.toLocaleString('en')} left`}
        </p>
        {gate === 'code' && <p className="claim-code">Your code: ____-____-____</p>}
        {gate === 'email' && <p className="claim-code">Your e-mail address: ____________</p>}
        <div className="claim-button">{PRESSED[gate]}</div>
        <p className="dimmed small">
          {gate === 'github' || gate === 'email' ? '' : 'No account. '}Prompts are checked and kept{' '}
          {retentionDays === null ? 'for ever' : `${retentionDays} days`}.{contact && ` Contact: ${contact}`}
        </p>
      </div>
    </aside>
  );
}
