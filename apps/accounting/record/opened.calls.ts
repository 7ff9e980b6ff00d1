import { Injectable } from '@nestjs/common';
import type { RequestView } from '#libs/contracts/admin/safety.js';
import { currentActor } from '../actor.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { AuditReader } from './audit.reader.js';
import { AuditRepository } from './audit.repository.js';

/** Whoever opens the same call again within this time stands in the record once. */
const OPEN_SECONDS = 3_600;

/** Shows the texts of a call. That somebody read them is itself on record. */
@Injectable()
export class OpenedCalls {
  constructor(
    private readonly work: UnitOfWork,
    private readonly reader: AuditReader,
    private readonly audit: AuditRepository,
  ) {}

  /** The act and the texts come together: without the one nobody gets the other. @throws AdminError `not_found` */
  open(id: string, reason: string | null): Promise<RequestView> {
    return this.work.run(async ({ manager }) => {
      // The head first, so that two requests at once add one act.
      await this.audit.lockHead(manager);
      const view = await this.reader.request(id, { show: true });
      if (view.texts !== 'shown') return view;
      const [lately] = await manager.query<unknown[]>(
        `SELECT 1 FROM audit.acts WHERE subject = $1 AND kind = 'opened' AND actor IS NOT DISTINCT FROM $2 AND at > now() - make_interval(secs => ${OPEN_SECONDS}) LIMIT 1`,
        [id, currentActor()],
      );
      if (!lately) await this.audit.appendAct(manager, { act: 'opened', subject: id, note: reason });
      return view;
    });
  }
}
