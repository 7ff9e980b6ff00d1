import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { CallPolicy } from '#libs/contracts/policy.js';
import type { Endpoint, Request } from '#libs/endpoints/endpoint.js';
import { ImageAddresses, type AddressFault } from '#libs/moderation/images/image.addresses.js';

const FAULTS: Record<AddressFault, string> = {
  malformed: 'is no address that anybody can read',
  not_public: 'is not public: its host is local, or belongs to a private network',
  port: 'has a port other than 80 and 443',
};

/** Refuses images by their addresses before a hold is taken. What only the network knows is found when they are fetched. */
export class ImageRules {
  private readonly addresses: ImageAddresses;
  private readonly mostRemote: number;

  constructor({ hostsAllowed, count }: Pick<DaypassConfig['images'], 'hostsAllowed' | 'count'>) {
    this.addresses = new ImageAddresses(hostsAllowed);
    this.mostRemote = count;
  }

  /** @throws DaypassError `invalid_request` that names the parameter */
  check(
    endpoint: Pick<Endpoint, 'remoteImages' | 'inputParam'>,
    { body, remoteImages }: Pick<Request, 'body' | 'remoteImages'>,
    { input, images }: CallPolicy,
  ): void {
    if (remoteImages === 0) return;
    for (const { url, param } of endpoint.remoteImages(body)) {
      if (images === 'data') throw invalid(param, `'${param}' must be a data: URL: this key takes no other images.`);
      const fault = this.addresses.fault(url);
      if (fault) throw invalid(param, `The address of the image '${param}' ${FAULTS[fault]}.`);
    }
    if (input !== 'off' && remoteImages > this.mostRemote) {
      throw invalid(
        endpoint.inputParam,
        `A request may name at most ${this.mostRemote} images by their addresses. Send the others as data: URLs.`,
      );
    }
  }
}

function invalid(param: string, message: string): DaypassError {
  return new DaypassError('invalid_request', message, { param });
}
