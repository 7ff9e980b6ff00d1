const BULK = 'campaign>filter.campaign claimant>filter.claimant link>filter.link status>filter.status note dry-run';
export const LINK = 'gate count>max_claims per-ip starts ends';
const TERMS = 'each>key.budget_usd for>key.ttl_seconds models>key.models';
const KEY = 'id prefix label campaign status available_usd budget_usd expires_at last_call_at strikes claimant';
const CALLS = 'campaign key visitor endpoint model decision reviewed since until';

/**
 * Commands that are one request: usage | what it does | request | options | columns of a list, or who shows the answer.
 * `:` in an address stands for an argument; arguments beyond those are fields. `!`: it has to be there. `>`: its field.
 */
export const COMMANDS = `
campaigns list | all, newest first | GET /campaigns | | slug name status budget_usd spent_usd held_usd available_usd
campaigns show <slug> | one of them | GET /campaigns/:
campaigns fund <slug> <amount_usd> | add to its budget | POST /campaigns/:/fund
campaigns close <slug> | end it with all of its keys | PATCH /campaigns/: status=closed
campaigns reopen <slug> | let it go on | PATCH /campaigns/: status=active
campaigns revoke-keys <slug> <confirm> | for ever; the slug twice | POST /campaigns/:/revoke-keys | note! dry-run
links list <campaign> | of a campaign | GET /campaigns/:/links | | id name status gates claimed max_claims expires_at url
links show <id> | one, with its QR code | GET /links/: | | link
links create <campaign> | make one | POST /campaigns/:/links | name! ${LINK} ${TERMS} | link
links pause <id> | nobody claims for a while | PATCH /links/: status=paused | | link
links resume <id> | let it go on | PATCH /links/: status=open | | link
links close <id> | nobody claims any more | PATCH /links/: status=closed | | link
links test <id> | try a claim of $0, and undo it | POST /links/:/test
codes list <link> | of a link | GET /links/:/codes | | id label status key expires_at used_at
codes void <link> | those that nobody used | POST /codes/void unused=true
keys list | newest first | GET /keys | campaign status claimant link label q sort | ${KEY}
keys show <id> | one of them | GET /keys/:
keys create | shown once | POST /keys/batch | campaign! count labels claimant each for models csv | id label key expires_at
keys suspend [ids...] | these, or all that the options find | POST /keys/bulk action=suspend | ${BULK}
keys reinstate [ids...] | these, or all that the options find | POST /keys/bulk action=reinstate | ${BULK}
keys revoke [ids...] | for ever: these, or all that the options find | POST /keys/bulk action=revoke | ${BULK}
keys extend [ids...] | give them more time | POST /keys/bulk action=extend | by! ${BULK}
keys fund [ids...] | give them more budget | POST /keys/bulk action=fund | amount! ${BULK}
keys rotate <ids...> | new secrets, shown once | POST /keys/:/rotate | note csv | id label key expires_at
visitors list | claimants, and keys that nobody claimed | GET /visitors | sort | id kind label keys calls blocked spent_usd
visitors show <id> | one of them | GET /visitors/:
visitors suspend <ids...> | with all keys | POST /visitors/:/suspend | note
visitors reinstate <ids...> | with all keys | POST /visitors/:/reinstate | note
visitors revoke <ids...> | all keys, for ever | POST /visitors/:/revoke | note
visitors block <ids...> | claims no more | POST /visitors/:/block | note
visitors unblock <ids...> | claims again | POST /visitors/:/unblock | note
visitors erase <ids...> | delete what it asked, for ever | POST /visitors/:/erase | note
calls list | without texts, newest first | GET /requests | ${CALLS} | id at campaign key model input output paid_usd
calls show <id> | with its texts; the record keeps that you read them | POST /requests/:/open | reason | texts
claims | who claimed what | GET /claims | campaign link claimant since | id at campaign link_name key kind claimant
waitlist list | who waits for a key | GET /waitlist | campaign | at campaign email link invited_at code
waitlist invite | mail codes of a link to those who wait longest | POST /waitlist/invite | link! count!
acts | what people did | GET /acts | subject actor act since until | at act subject actor note
overview | what happens now | GET /overview
settings | the settings in force | GET /settings
lanes | the rate limits, and who waits | GET /lanes | | lane requests tokens waiting shares frozen_until
reconciliation | the books beside the provider's bill | GET /reconciliation
login-link | signs in to the console once | POST /session/links
`;

/** Options: name, what it takes (which says how it is read), its field | what it says. Others filter a list. */
export const OPTIONS = `
amount <usd> amount_usd | so much more for each
by <time> ttl_seconds | so much longer, such as 2h
count <number> count | so many
csv | as a table for spreadsheets
dry-run dry_run | only count
budget <usd> budget_usd | what all visitors may spend together
cards <file> | a page to print with a card for each code; - writes it to the output
lines <number> | end after so many
out <folder> | where the files go
slug <slug> | its name in addresses; made of the name without it
each <usd> budget_usd | what one key may spend
ends <when> expires_at | a time, or 8h for in eight hours
for <time> ttl_seconds | how long a key lives, such as 24h
gate <gate> gates | what a visitor has to show: pow (the default), code, github or email
labels <names> labels | one for each, with commas between them
limit <number> limit | so many rows at most
models <names> models | with commas between them
note <why> note | why; it stands on record
per-ip <number> per_ip_per_day | claims of one address in a day; 0: no bound, as for a room
reason <why> reason | why you read it; it stands on record
since <since> since | a time, or 24h for 24 hours ago
starts <when> starts_at | a time, or 2h for in two hours
until <since> until | a time, or 1h for an hour ago
`;

export const GROUPS = {
  campaigns: 'budgets with rules',
  links: 'addresses that give out keys',
  codes: 'one-time codes, each for one key',
  keys: 'virtual keys',
  visitors: 'claimants, and keys that nobody claimed',
  waitlist: 'people who wait for a key',
  calls: 'the record',
  audit: 'for an auditor',
};
