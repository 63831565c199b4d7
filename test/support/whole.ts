// Whether a suite that is long tries everything (`npm test -- --whole FILE …`, as .ci/run does), or, within `npm test`, a part of it.

/** By name, since test files are processes of their own. */
export const WHOLE_VARIABLE = 'MUNIMENT_TEST_WHOLE';
export const isWhole = process.env[WHOLE_VARIABLE] === '1';
