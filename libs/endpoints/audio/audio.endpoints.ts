import type { Endpoint } from '../endpoint.js';
import { SPEECH } from './speech.endpoint.js';
import { TRANSCRIPTIONS, TRANSLATIONS } from './transcriptions.endpoint.js';

/** The APIs that hear or speak. */
export const AUDIO: readonly Endpoint[] = [TRANSCRIPTIONS, TRANSLATIONS, SPEECH];
