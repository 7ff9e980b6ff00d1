import type { DaypassError, OwnForm } from '#libs/contracts/errors.js';
import type { ToldError } from '#libs/contracts/help.js';
import type { PacedUnits, Ticket } from '#libs/contracts/jobs.js';
import type { Waiver } from '#libs/contracts/policy.js';
import type { Meter, Metered } from '#libs/money/cost.js';
import type { Undecodable } from '#libs/money/tokens.js';
import type { Content, FrameText, Replacement } from './content.js';
import type { Shape } from './declaration.js';
import type { RemoteImage } from './images.js';
import type { Json, JsonObject } from './json.js';
import type { Found, Ref, Shelved } from './shelved.js';

/** A file of a request, which waits sealed beside its JSON under `ref`, and is gone with the call. */
export interface Blob {
  ref: string;
  bytes: number;
  /** A MIME type, by its first bytes alone; '': unknown. */
  type: string;
  /** The part of the form that it came in, as the visitor wrote it: `image`, `image[]`. */
  field: string;
  /** As the visitor called it. Nobody has judged it, and no upstream gets it. */
  filename?: string;
  /** Its first 64 bytes, in base64. */
  head?: string;
  /** How long a sound takes at most, by its own bytes; absent: it is none. */
  seconds?: number;
  /** Tells its content from any other. */
  hash?: string;
}

/** The URL of an image that is a file of the request. Moderation puts the image in its place before guards see it. */
export const blobUrl = ({ ref }: Pick<Blob, 'ref'>): string => `blob:${ref}`;

/** What a visitor sends: JSON, or the fields of a form and its files. */
export interface Body {
  json: Json;
  blobs: readonly Blob[];
  /** What the answer's reader must know of the request, sealed with it. No upstream gets it, and nobody judges it. */
  kept?: JsonObject;
}

/** A request that its API's declaration let in. */
export interface Request {
  /** What goes on of what the visitor sent: only what was declared, only what was judged. */
  body: Body;
  model: string;
  stream: boolean;
  /** How many answers it asks for: each has the output cap. 0: this API has no output that costs. */
  outputs: number;
  /** The visitor's own cap of one output's tokens. undefined: Daypass sets it. null: this API knows no cap. */
  capTokens: number | undefined | null;
  /** The service tier that it is sent under. */
  serviceTier: string;
  /** It asks for a search of the web, which costs a fee. */
  searches: boolean;
  /** The names of its parameters, for errors that are about them. */
  params: { cap: string; search: string; tier: string };
  /** More moderation than the campaign asks for. */
  wish: { input: boolean; output: boolean };
  /** Parameters that Daypass dropped or decided itself: the header `x-daypass-adjusted`. */
  adjusted: readonly string[];
  /** How many images it names by their addresses. */
  remoteImages: number;
  /** What the visitor calls the prefix that its calls share; undefined: nothing. */
  cacheKey?: string | undefined;
  /** What it names instead of containing it; absent: nothing. */
  refs?: readonly Ref[];
  /** Tokens of what nobody can read in an item, as its provider counted them. Absent: nobody counted them. */
  opaqueTokens?: ReadonlyMap<unknown, number>;
  /** How many searches one answer may make: each costs the fee. Absent: each output costs it once. */
  searchCalls?: number;
  /** The images that its answer may have beside text. Absent: none. */
  drawing?: Drawing;
  /** What the reader of its answer must know of it. `answerBytes`: about the bytes of a large answer. */
  facts: Ticket['facts'];
  /** What `measure` decoded of it. */
  decoded?: readonly string[] | undefined;
  /** Nobody waits for its answer: the key fetches it later. Absent: somebody does. */
  background?: true;
}

/** Images that a model of text has another model make. */
export interface Drawing {
  /** The model of images, whose price counts for them. */
  model: string;
  /** One answer has so many at most. */
  calls: number;
  /** Tokens of one, with all that its model writes for it. */
  tokens: number;
  /** Images that the model of images may read; null: it reads none. */
  inputs: number | null;
  /** Bytes of one in an answer. */
  bytes: number;
}

/** What a request's headers say of the client that sent it. */
export interface Client {
  /** Codex takes some ends of a stream for a broken line, and sends the call again (measured with Codex 0.169). */
  codex: boolean;
}

/** What counting needs of the service that counts. */
export interface CountingTools {
  /** Tokens of all the texts together, as the model counts them, or a bound of them. */
  countTokens(texts: readonly string[]): Promise<number>;
  /** Nobody knows the model's tokenizer: `countTokens` is far above what the model counts. */
  unknownTokenizer?: boolean;
  /** The meters that the model's price has a rate for; absent: `input`, its parts, and `output`. */
  priced?: ReadonlySet<Meter>;
  /** The most tokens of one image that the model makes, where the operator says it. */
  imageTokensPerImage?: number;
  /** The most tokens that one answer of the model has; absent: nobody knows. */
  mostOutputTokens?: number;
  /** Tokens that a hosted tool's results add for each output. */
  toolTokens: number;
  /** The texts of lists of tokens, by the model's own encoding. */
  decodeTokens?(lists: readonly (readonly number[])[]): Promise<readonly string[] | Undecodable>;
}

/**
 * Whole numbers. Where it names a meter that the model's price has no rate for, the call is refused, and the error names
 * what the operator can set.
 */
export interface Measured {
  /** Best estimate of what the request uses beside its output: what a cut call pays for. */
  estimate: Metered;
  /** No honest usage report says more, beside the output under the cap. */
  most: Metered;
  /** What one more token of the cap adds over all outputs. */
  perCapToken: Metered;
  /** Input as providers count it against their rate limits. */
  pacedTokens: number;
  /** Images and seconds of sound, as providers count them against their rate limits; absent: none. */
  pace?: PacedUnits;
  /** The texts of what came as tokens: `forwarded` wants them, because they are what is judged. */
  decoded?: readonly string[];
}

/** What the relay decides in the visitor's stead. */
export interface Forced {
  serviceTier: string;
  safetyIdentifier: string;
  /** The provider looks for cached prefixes by it: no two visitors have the same. */
  cacheKey: string;
  /** Whether the key may name the answer later; absent: it may, where it wants to. */
  shelf?: boolean;
}

/**
 * `openai`: OpenAI itself, which refuses parameters that it does not know. `azure`: the same models at Azure OpenAI, of
 * which older versions know fewer parameters. `drops`: parameters to leave out. `tag`: marks
 * unreadable content that only this upstream can read; '': the first upstream, whose content has no mark.
 */
export interface UpstreamTraits {
  kind: 'openai' | 'azure' | 'compatible';
  drops: readonly string[];
  tag: string;
}

/** What a campaign lets a call have. */
export interface CampaignTerms {
  /** `max`: images of one call. `quality`: of images whose visitor leaves it open. */
  images: { max: number; quality: ImageQuality };
  /**
   * What draws for a model of text: the key's models of images whose price and tokens are known. `max`: images of one answer.
   */
  drawing: { models: readonly { model: string; tokensPerImage?: number }[]; max: number };
}

export type ImageQuality = 'low' | 'medium' | 'high';

export interface UpstreamCall {
  path: string;
  body: Body;
  form: 'json' | 'multipart';
  /** What the visitor sent, and the upstream does not get, by its name. */
  dropped: readonly string[];
}

/**
 * A silent direction has nothing that anybody could judge, and is not judged. `spoken`: the output says what the input says,
 * so that the verdict on the input is on both.
 */
export interface Directions {
  input: 'judged' | 'silent';
  output: 'judged' | 'silent' | 'spoken';
}

/** One API of OpenAI's as Daypass serves it: pure, without state. */
export interface Endpoint {
  /** Stands in tickets and in the record. */
  readonly name: string;
  /** Where visitors post to. */
  readonly path: string;
  readonly accepts: readonly ('application/json' | 'multipart/form-data')[];
  /** The fields of its form that are files, for its documentation; absent: none. */
  readonly files?: readonly string[];
  /** What a whole answer may be beside JSON, for its documentation; absent: nothing. */
  readonly answers?: readonly string[];
  readonly directions: Directions;
  /** The field of a campaign's policy that switches off the judging of its input. */
  readonly waiver?: Waiver;
  /** The provider's usage report that its calls are in; absent: that of completions. */
  readonly usageReport?: 'embeddings' | 'images' | 'audioSpeeches' | 'audioTranscriptions';
  /**
   * What a good answer without a readable usage costs: the bound, which reports may correct, or `Measured.estimate`. So does
   * an answer that broke off. Absent: what was counted of it.
   */
  readonly unreported?: 'bound' | 'estimate';
  /** The most bytes of an answer, whole or streamed; absent: those of most APIs (`response.body.ts`). */
  readonly answerBytesMax?: number;
  /** How its clients know that moderation refused a call; absent: by the catalogue's own type of error. */
  readonly blockedForm?: (stage: 'input' | 'output', categories: readonly string[]) => OwnForm;
  /** Its requests may hold so many numbers in arrays, beside the values that each request may hold. */
  readonly numbersMax?: number;
  /** All that a request may hold, and all that is known of an answer. `event`: of one of its stream; absent: as of an answer. */
  readonly declarations: { request: Shape; answer: Shape; event?: Shape };
  /** OpenAI has it no more: only compatible upstreams offer it, and those that say so. Absent: all may. */
  readonly compatibleOnly?: true;
  /** The parameter that an error about the input as a whole names. */
  readonly inputParam: string;
  /** The API refuses a lower output cap. Absent: it takes any. */
  readonly leastCapTokens?: number;
  /** Parameters without which an answer stays the same. Where an upstream does not know one, Daypass leaves it out. */
  readonly optional: readonly string[];
  /** A request that visitors can paste, e.g. for the banner of `npm start`. */
  sample(model: string, text: string): Json;
  /** @throws DaypassError `invalid_request`, `unknown_parameter`, `unpriceable_request`, which name the parameter */
  parse(body: Body, client?: Client): Request;
  /** The request with contents in the place of names. Absent: this API has none. @throws DaypassError that names the parameter */
  expand?(request: Request, found: Found): Request;
  /**
   * The request as its campaign lets it search. `most`: how many searches the campaign pays for; null: it has no price for
   * them, so that the tool is left out. null: that would be another request. Absent: this API has no such tool.
   */
  searching?(request: Request, most: number | null): Request | null;
  /** What a visitor gets at once of a request in the background, with its `id`. Absent: this API has none. */
  queued?(ticket: AnsweredTicket, body: Body): JsonObject;
  /**
   * The same request under its campaign's terms, and cheaper forms of what it leaves open: dearest first. The budget decides.
   * Absent: it leaves nothing open. @throws DaypassError where the campaign does not allow it
   */
  forms?(request: Request, terms: CampaignTerms): readonly Request[];
  measure(request: Request, tools: CountingTools): Promise<Measured>;
  /** What waits for the upstream: what the visitor sent, with what the relay decides. */
  forwarded(request: Request, forced: Forced): Body;
  /** All that a model will read of a forwarded body. */
  input(body: Body): readonly Content[];
  redactedInput(body: Body, replacements: readonly Replacement[]): Body;
  /** The images of a forwarded body that its upstream would fetch by their addresses. */
  remoteImages(body: Body): readonly RemoteImage[];
  /** The same body with images, as `data:` URLs, in the place of their addresses. */
  withImages(body: Body, images: ReadonlyMap<string, string>): Body;
  /**
   * What one upstream is sent, under the output cap that the hold carries. @throws DaypassError `invalid_request` where this
   * upstream cannot read a part without which it would be another request
   */
  call(body: Body, ticket: Pick<Ticket, 'capTokens' | 'facts'>, upstream: UpstreamTraits): UpstreamCall;
  /** Of one answer; it has state. */
  reader(ticket: AnsweredTicket, of?: AnswerOf): AnswerReader;
  /** An error as the last part of a stream of which nothing was shown. `again`: the same call may succeed later. */
  streamError(body: ToldError, facts: Ticket['facts'], again: boolean): string;
  /** Whether the client learns from `streamError` alone that it must not send the call again. Absent: never. */
  heedsStreamsOnly?(facts: Ticket['facts'], status: number): boolean;
  /** A part of a stream that clients skip. null: this API's streams have no place for one. */
  streamComment(text: string): string | null;
  /** Whether nothing of a stream follows these frames of it. */
  isLast(frames: string): boolean;
}

/**
 * `price`: what it names says what the call is billed by. `inputTokens`: as they were counted. `origin`: for the addresses
 * in its errors.
 */
export type AnsweredTicket = Pick<Ticket, 'requestId' | 'model' | 'outputs' | 'facts'> &
  Partial<Pick<Ticket, 'price' | 'inputTokens' | 'origin'>>;

/** Whose answer a reader reads. `kept`, `sent`: of the forwarded body. `tag`: of the upstream that answers. */
export interface AnswerOf {
  kept?: JsonObject | undefined;
  sent?: Json;
  tag: string;
}

/** What an answer says of what it cost. `metered` null: it said nothing that can be read. */
export interface Report {
  metered: Metered | null;
  /** The tier that served, and the dated model. */
  serviceTier: string | undefined;
  model: string | undefined;
  /** Hosted searches, each of which has a fee; undefined: it says nothing of them. */
  searches?: number | undefined;
  /** Images that another model made for it; undefined: it says nothing of them. */
  images?: number | undefined;
}

/** What the provider itself says of a call's content: verdicts of its moderation, and what its filters caught. */
export interface ProviderVerdict {
  /** As the provider's moderation endpoint tells them, one for each side. */
  moderation: readonly unknown[];
  /** Azure OpenAI's `content_filter_results`. */
  filters: readonly unknown[];
}

/** What one event of a stream shows: whole or not at all, in order. */
export interface Frame {
  /** As the visitor gets it. */
  text: string;
  /** What it adds, by path. */
  texts: readonly FrameText[];
  /** What it adds beside texts: each frame with an image waits for its own verdict, under `trail` too. */
  images?: readonly Content[];
  provider: readonly ProviderVerdict[];
  /** It says how an output, or the stream, ended: it waits for every verdict before it, under `trail` too. */
  closing: boolean;
}

export interface Shown {
  contentType: string;
  /** Absent: 200. Any other is an error, which no client may send again. */
  status?: number;
  /** A large one in pieces. */
  body: string | Uint8Array | readonly Uint8Array[];
}

/** An answer in one piece. */
export interface Whole {
  contents: readonly Content[];
  /** The same contents, in parts that stand by themselves: what is flagged is left out. Absent: one verdict is on all. */
  parts?: readonly (readonly Content[])[];
  provider: readonly ProviderVerdict[];
  /** Texts that its tokens are counted from where it reported no usage. */
  seen: readonly string[];
  /** `without`: the parts that are left out, by their index. null: something cannot be taken out of it. */
  shown(replacements: readonly Replacement[], without?: ReadonlySet<number>): Shown | null;
  /** The form of an answer that moderation took away. */
  blocked(categories?: readonly string[]): Shown;
}

/** Why Daypass ends a stream: moderation took the rest away, or an error. `charged`: the visitor pays for it. */
export type Ending =
  | { kind: 'blocked'; categories?: readonly string[] | undefined }
  | { kind: 'error'; error: DaypassError; charged: boolean };

export interface AnswerReader {
  /**
   * Where whole answers may be large: takes a piece while the answer arrives, in little time. `whole` then gets the rest.
   * @throws MisshapenAnswer; DaypassError where the answer is larger than Daypass passes on
   */
  add?(piece: Uint8Array): void;
  /**
   * Where nobody judges whole answers, and their bytes are shown as they come. null: such an answer is none, and `whole` says
   * why. Absent: `whole` reads them.
   */
  flow?(contentType: string): Flow | null;
  /** What the part of an answer cost that came before it broke off. null: nothing came. Absent: nobody can say. */
  cut?(): Metered | null;
  /** @throws MisshapenAnswer where it has not the shape that its API promises */
  whole(bytes: Uint8Array, contentType: string): Whole;
  /** One event of a stream. @throws MisshapenAnswer, UpstreamStreamError */
  event(event: { name?: string | undefined; data: string }): readonly Frame[];
  /** The upstream's stream is over. @throws MisshapenAnswer where nothing came; another error where it was cut */
  end(): readonly Frame[];
  readonly report: Report;
  /** The stream said that it is over. */
  readonly done: boolean;
  /** Frames with their texts replaced. null: something cannot be taken out of them. */
  redacted(frames: readonly string[], replacements: readonly Replacement[]): readonly string[] | null;
  /** The frames that end a stream after what was shown (`begun`), or stand for all of it. `metered`: the usage that is told, if any. */
  ending(why: Ending, begun: boolean, metered: Metered | null): string;
  /**
   * Called for each frame in the order in which the visitor gets them: from `event` and `end`, or redacted. Returns it as it
   * goes out now. Absent: as it is.
   */
  show?(frame: string): string;
  /** A frame that says only that the answer is still coming, after those that were shown. null: none was shown. */
  beat?(): string | null;
  /**
   * What the key may name later: only what was shown. Asked when the whole answer's form is known (`shown`, `blocked`), or
   * after the stream's last frame went through `show`. null: nothing.
   */
  shelved?(): Shelved | null;
  /** The last frame, or the whole answer, where nobody could keep it for later: it says that it is not stored. */
  unshelved?(shown: string): string;
}

/** A whole answer on its way through Daypass, which keeps nothing of it. */
export interface Flow {
  /** Of what the visitor gets. */
  readonly contentType: string;
  /** The upstream answers in events, and not in bytes. */
  readonly inEvents: boolean;
  /** What the visitor gets of some bytes of it. */
  bytes(part: Uint8Array): Uint8Array;
  /** The same of an event. @throws MisshapenAnswer, UpstreamStreamError */
  event(event: { data: string }): Uint8Array;
  /** All of it came. @throws as `AnswerReader.end` */
  end(): void;
}

/** An upstream answered 200 with something that is no answer: nothing was done, as far as anybody can tell. */
export class MisshapenAnswer extends Error {
  constructor(
    what: string,
    /** The upstream's own error object, where it was one. */
    readonly error: Readonly<Record<string, unknown>> | null = null,
  ) {
    super(what);
    this.name = 'MisshapenAnswer';
  }
}

/** An error object in the middle of a stream: the upstream stopped by itself. */
export class UpstreamStreamError extends Error {
  constructor(readonly error: Readonly<Record<string, unknown>>) {
    super('the upstream ended the stream with an error');
    this.name = 'UpstreamStreamError';
  }
}
