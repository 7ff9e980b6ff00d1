/** How every table for a spreadsheet is written. Text of a visitor, a guard or a model must not become a formula there. */
export const csvForm = (columns: readonly string[]) => ({
  ...{ header: true, columns: [...columns], escape_formulas: true },
  // By itself the library writes 1, and nothing for false.
  cast: { boolean: String },
});
