// The database of the tests of search and export.

export { testArchiveDatabase } from '../support/postgres.ts';
