import { Inject, Injectable } from '@nestjs/common';
import { Counter, type Registry } from 'prom-client';
import { REGISTRY } from '#libs/service/platform.tokens.js';

/** Counts the images that requests name by their addresses. */
@Injectable()
export class ImageMetrics {
  private readonly images: Counter<'outcome'>;

  constructor(@Inject(REGISTRY) registry: Registry) {
    this.images = new Counter({
      name: 'daypass_images_fetched_total',
      help: 'Images that requests name by their addresses, by what became of fetching them',
      labelNames: ['outcome'],
      registers: [registry],
    });
  }

  fetched(outcome: string, images: number): void {
    this.images.inc({ outcome }, images);
  }
}
