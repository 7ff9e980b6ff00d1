import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { deflateRaw, deflateRawSync, inflateRaw } from 'node:zlib';
import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { ContentBox } from '#libs/secrets/content-box.js';

const KEY_BYTES = 32;
/** Compressing a short text here takes 18 µs; handing it to a thread takes 110 µs. */
const SHORT_CHARACTERS = 32_768;
const deflate = promisify(deflateRaw);
const inflate = promisify(inflateRaw);

interface VisitorRow {
  id: string;
  wrapped_key: Buffer | null;
}

/** Encrypts a visitor's content in the record under the visitor's own secret. Erasure destroys that secret. */
export interface VisitorBox {
  seal(compressed: Buffer, id: string): Buffer;
}

/** Stores a random secret for each visitor, encrypted by the master secret. */
@Injectable()
export class VisitorVault {
  private readonly master: ContentBox;

  constructor(@Inject(CONFIG) config: DaypassConfig) {
    this.master = new ContentBox(config.secrets.auditKey);
  }

  /** One for each visitor, new ones included; none for erased ones. The rows stay locked until the transaction ends. */
  async boxes(manager: EntityManager, visitorIds: readonly string[]): Promise<Map<string, VisitorBox>> {
    if (visitorIds.length === 0) return new Map();
    const ids = [...new Set(visitorIds)].sort();
    const found = await this.rows(manager, ids);
    const fresh = ids.filter((id) => !found.has(id));
    if (fresh.length > 0) {
      const wrapped = fresh.map((id) => this.master.seal(randomBytes(KEY_BYTES), id));
      await manager.query(
        `INSERT INTO audit.visitors (id, wrapped_key) SELECT * FROM unnest($1::text[], $2::bytea[]) ON CONFLICT DO NOTHING`,
        [fresh, wrapped],
      );
      for (const [id, row] of await this.rows(manager, fresh)) found.set(id, row);
    }
    return new Map(
      [...found].flatMap(([id, { wrapped_key: wrapped }]) =>
        wrapped ? [[id, new ContentBox(this.master.openBytes(wrapped, id))] as const] : [],
      ),
    );
  }

  /** null: the visitor was erased. @throws when somebody altered the content, or another secret encrypted it */
  async open(manager: EntityManager, visitorId: string, contentId: string, sealed: Buffer): Promise<string | null> {
    const [row] = await manager.query<VisitorRow[]>('SELECT id, wrapped_key FROM audit.visitors WHERE id = $1', [
      visitorId,
    ]);
    if (!row?.wrapped_key) return null;
    const box = new ContentBox(this.master.openBytes(row.wrapped_key, visitorId));
    return (await inflate(box.openBytes(sealed, contentId))).toString('utf8');
  }

  async compress(text: string): Promise<Buffer> {
    return text.length > SHORT_CHARACTERS ? deflate(text) : deflateRawSync(text);
  }

  private async rows(manager: EntityManager, ids: readonly string[]): Promise<Map<string, VisitorRow>> {
    const rows = await manager.query<VisitorRow[]>(
      'SELECT id, wrapped_key FROM audit.visitors WHERE id = ANY ($1) ORDER BY id FOR SHARE',
      [ids],
    );
    return new Map(rows.map((row) => [row.id, row]));
  }
}
