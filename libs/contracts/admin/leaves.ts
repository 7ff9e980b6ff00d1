import { z } from 'zod';

/** What answers of the admin API are made of. */
export const usd = z.string().meta({ description: 'Dollars', pattern: '^-?\\d+\\.\\d{2,9}$', example: '2.50' });
export const time = z.string().meta({ format: 'date-time' });
