import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { deflateRaw, deflateRawSync, inflateRaw } from 'node:zlib';
import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { ContentBox } from '#libs/secrets/content-box.js';

const KEY_BYTES = 32;
/** A short text is compressed sooner than a thread is asked to (measured: 18 µs and 110 µs). */
const SHORT_CHARACTERS = 32_768;
const deflate = promisify(deflateRaw);
const inflate = promisify(inflateRaw);

interface VisitorRow {
  id: string;
  wrapped_key: Buffer | null;
}

/** A visitor's content in the record: sealed under a key of its own, which is gone once the visitor is erased. */
export interface VisitorBox {
  seal(compressed: Buffer, id: string): Buffer;
}

/** Keeps a random key for each visitor, wrapped by the master secret. */
@Injectable()
export class VisitorVault {
  private readonly master: ContentBox;

  constructor(@Inject(CONFIG) config: DaypassConfig) {
    this.master = new ContentBox(config.secrets.auditKey);
  }

  /** One for each visitor, new ones included; none for those who were erased. They stay as they are until the transaction ends. */
  async boxes(manager: EntityManager, visitorIds: readonly string[]): Promise<Map<string, VisitorBox>> {
    if (visitorIds.length === 0) return new Map();
    const ids = [...new Set(visitorIds)].sort();
    const known = await this.rows(manager, ids);
    const fresh = ids.filter((id) => !known.has(id));
    if (fresh.length > 0) {
      const wrapped = fresh.map((id) => this.master.seal(randomBytes(KEY_BYTES), id));
      await manager.query(
        `INSERT INTO audit.visitors (id, wrapped_key) SELECT * FROM unnest($1::text[], $2::bytea[]) ON CONFLICT DO NOTHING`,
        [fresh, wrapped],
      );
      for (const [id, row] of await this.rows(manager, fresh)) known.set(id, row);
    }
    return new Map(
      [...known].flatMap(([id, { wrapped_key: wrapped }]) =>
        wrapped ? [[id, new ContentBox(this.master.openBytes(wrapped, id))] as const] : [],
      ),
    );
  }

  /** null: the visitor was erased. @throws when the content was altered, or was sealed under another secret */
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
