// Watch words as pure rules: whole words in any script, phrases, expressions, questions, threats, private information; and what they cost.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseYaml, YamlFileError } from '../../src/core/yaml-file.ts';
import { type Watched, watcher, watchSchema } from '../../src/policy/watch.ts';

function rulesOf(match: string, more = ''): ReturnType<typeof watcher> {
  const text = `id: office\nrules:\n  - { id: it, title: It, tag: it, when: digest, ${more} match: ${match} }\n`;
  return watcher([parseYaml(text, 'alerts/office.yaml', watchSchema).value]);
}
const saying = (text: string, more: Partial<Watched> = {}): Watched => ({
  sources: ['city'],
  kind: 'reply',
  text: [text],
  author: [null],
  link: [],
  alt: [],
  ...more,
});
const matches = (match: string, text: string): boolean => rulesOf(match)(saying(text)).length > 0;

test('words are found whole, in any script, however they are written', () => {
  for (const [word, text, expected] of [
    ['flood', 'The FLOOD is here', true],
    ['flood', 'flooding', false],
    ['flood', 'fl\u00adood', true],
    ['flood', 'ｆｌｏｏｄ!', true],
    ['Straße', 'STRASSE gesperrt', true],
    ['café', 'cafe\u0301 closed', true],
    ['cafe', 'café', false],
    ['ΟΔΟΣ', 'η οδός', false],
    ['ΟΔΟΣ', 'η οδος', true],
    ['потоп', 'Потоп!', true],
    ['потоп', 'потопы', false],
    ['洪水', '昨天洪水来了', true],
    ['น้ำท่วม', 'วันนี้น้ำท่วมถนน', true],
    ['भ', 'भारत', false],
  ] as const)
    assert.equal(matches(`{ words: ["${word}"] }`, text), expected, `${word} in ${text}`);
  assert.ok(matches('{ phrases: ["road closed"] }', 'Road — closed?'));
  assert.ok(!matches('{ phrases: ["road closed"] }', 'broad closed roads'));
});

test('questions, threats and private information are told from what resembles them', () => {
  for (const [match, text, expected] of [
    ['{ question: true }', 'When is pickup?', true],
    ['{ question: true }', 'متى؟', true],
    ['{ question: true }', '???', false],
    ['{ threats: true }', 'We know where you live', true],
    ['{ threats: true }', 'You live where?', false],
    ['{ private: [card] }', 'pay 4111 1111 1111 1111 now', true],
    ['{ private: [card] }', 'number 4111 1111 1111 1112', false],
    ['{ private: [card] }', '0000 0000 0000 0000', false],
    ['{ private: [ssn] }', 'mine is 123-45-6789.', true],
    ['{ private: [ssn] }', '666-45-6789 and 123-00-6789 and 123-45-67890', false],
    ['{ private: [phone] }', 'call (505) 555-0143', true],
    ['{ private: [phone] }', 'call +44 20 7946 0958', true],
    ['{ private: [phone] }', 'case 20261125', false],
    ['{ private: [email] }', 'to jo.doe@mail.example.org!', true],
    ['{ private: [email] }', '@city at city.gov', false],
    ['{ expressions: ["case no\\\\. \\\\d+"] }', 'Case No. 42', true],
  ] as const)
    assert.equal(matches(match, text), expected, `${match} in ${text}`);
});

test('a rule looks where it says, and at the sources and kinds that it names', () => {
  const match = rulesOf('{ words: [flood] }', 'sources: [city], kinds: [reply], in: [alt, link],');
  assert.deepEqual(match(saying('flood')), []);
  assert.deepEqual(match(saying('', { alt: ['A flood'] })), [{ rule: 'it', tag: 'it', atOnce: false }]);
  assert.equal(match(saying('', { link: ['https://example.org/flood'] })).length, 1);
  assert.deepEqual(match(saying('', { alt: ['A flood'], kind: 'post' })), []);
  assert.deepEqual(match(saying('', { alt: ['A flood'], sources: ['parks'] })), []);
});

test('an expression that could go back, or matches everything, is refused with its place and a remedy', () => {
  for (const expression of ['(a)\\\\1', '(?=a)b', 'a*', '(']) {
    assert.throws(
      () => rulesOf(`{ expressions: ["${expression}"] }`),
      (error) => error instanceof YamlFileError && /alerts\/office\.yaml:3:\d+: .*RE2/.test(error.message),
      expression,
    );
  }
});

test('no text of any kind costs more than its length', () => {
  const match = rulesOf(
    '{ words: [zebra, "洪水"], phrases: ["a a a b", "kill you now"], expressions: ["(x+x+)+y", "(a|aa)+$z", "([a-z]+)*[0-9]!"], threats: true, private: [phone, email, ssn, card] }',
  );
  const time = (text: string): number => {
    const from = process.cpuUsage();
    match(saying(text));
    const { user, system } = process.cpuUsage(from);
    return (user + system) / 1000;
  };
  for (const unit of ['x', 'a ', '1', '1 ', '4-', 'a@a.', '洪', '(505) ', 'ﷺ', 'e\u0301']) {
    const length = 250_000;
    const small = unit.repeat(length / 4 / unit.length);
    const whole = unit.repeat(length / unit.length);
    time(small);
    const [one, four] = [time(small), time(whole)];
    assert.ok(four < 12 * one + 60, `${JSON.stringify(unit)}: ${one} ms, four times the length ${four} ms`);
  }
});
