export const PRICE_BOOK = Symbol('price book');
