// What every collector must stand: a platform that answers badly, changes while it is read, or says no. Nothing is lost, doubled or taken
// for deleted, the run says what happened, the archive verifies, and a later good run completes the work.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import type { Collector } from '../../src/sources/collector.ts';
import {
  type Asked,
  CONFIGURED,
  type CollectorContract,
  CollectorStage,
  type RunOptions,
  type ShownItem,
} from '../support/collector-stage.ts';
import { runDisturbed } from '../support/process.ts';
import {
  announceGigabyte,
  type Misbehaviour,
  sendAnswer,
  sendGigabyte,
  sendLoginPage,
  sendNothing,
  sendSlowly,
} from '../support/replay.ts';
import { isWhole } from '../support/whole.ts';

const PAGES = 3;
const COMMENTS = isWhole ? 3000 : 300;
const HOUR = 3_600_000;

type Outcome = Awaited<ReturnType<CollectorStage['run']>>;

/** What stands on the platform before a case begins, newest first. */
interface Scene {
  readonly own: readonly ShownItem[];
  /** Of the page that is read in the middle of a run. */
  readonly middle: readonly ShownItem[];
}

/**
 * Tries one collector, with a subtest for each case.
 * @param options.whole false: without the cases that are decided in `Http`, which all collectors share, and those that are near another
 */
export function contract(
  name: string,
  collector: CollectorContract,
  { whole }: { readonly whole: boolean },
): void {
  const size = collector.pageSize ?? 2;
  const isPaged = collector.pageSize !== null;
  const hasThreads = collector.threadDepth !== null;

  test(`the ${name} collector keeps the contract`, async (t) => {
    const stage = await CollectorStage.open(t, collector);
    let cases = 0;
    const besides = (): number => stage.service.besides?.length ?? 0;

    /** Something known already of everything, then something new of everything. */
    async function setScene(source = `case-${++cases}`): Promise<Scene> {
      await stage.begin(source);
      for (let n = size * PAGES; n > 0; n -= 1) stage.publish(`post ${n}`);
      const own = [...stage.items];
      const last = own.at(-1) as ShownItem;
      if (hasThreads) stage.reply('answer 1', stage.reply('comment 1', last));
      const known = await stage.run();
      assert.deepEqual([known.status, known.errors], ['complete', []]);
      assert.equal(known.captured, stage.items.length + besides());
      own.unshift(stage.publish('news'));
      const middle = own.slice(size, 2 * size);
      (middle[0] as ShownItem).text = 'Edited & corrected';
      if (hasThreads) stage.reply('comment 2', last);
      return { own, middle };
    }

    /** Nothing may be missing that is not truly deleted, whatever the run came to. */
    async function assertNothingWrong(outcome: Outcome, missing = 0): Promise<void> {
      assert.equal(outcome.missing, missing, 'found missing');
      assert.ok(!outcome.errors.some((error) => error.code === 'defect'), JSON.stringify(outcome.errors));
      for (const { message } of outcome.errors) assert.match(message, /^.{15,}\.$/s);
      assert.deepEqual((await stage.findings()).doubled, []);
    }

    /** @param missing items that were deleted meanwhile */
    async function assertCompletedLater(missing = 0): Promise<void> {
      stage.behave();
      const later = await stage.run();
      assert.deepEqual([later.status, later.errors], ['complete', []]);
      assert.equal(later.missing, collector.tellsDeletions ? missing : 0, 'found missing later');
      assert.deepEqual(await stage.findings(), { lost: [], doubled: [] });
      if (whole) assert.deepEqual(await stage.problems(), []);
    }

    async function assertComplete(outcome: Outcome): Promise<void> {
      assert.deepEqual([outcome.status, outcome.errors], ['complete', []]);
      assert.deepEqual((await stage.findings()).lost, []);
      await assertNothingWrong(outcome);
    }

    async function assertTold(outcome: Outcome, code: string, message: RegExp): Promise<void> {
      assert.notEqual(outcome.status, 'complete');
      const told = outcome.errors.filter((error) => error.code === code);
      assert.ok(
        told.some((error) => message.test(error.message)),
        JSON.stringify(outcome.errors),
      );
      await assertNothingWrong(outcome);
    }

    /** A case in which requests are answered badly, and the run tells it. */
    function tells(
      title: string,
      where: (asked: Asked) => boolean,
      bad: Misbehaviour,
      [code, message]: readonly [string, RegExp],
      options: RunOptions & { readonly rejected?: number } = {},
    ): Promise<void> {
      return t.test(title, async () => {
        await setScene();
        stage.strike = (asked) => (where(asked) ? bad : null);
        const outcome = await stage.run(options);
        await assertTold(outcome, code, message);
        if (options.rejected !== undefined) assert.equal(outcome.rejected, options.rejected, 'put aside');
        await assertCompletedLater();
      });
    }

    const refuse =
      (status: number, headers: Readonly<Record<string, string>> = {}): Misbehaviour =>
      (response) => {
        const refusal = stage.service.refusal(status);
        sendAnswer(response, { ...refusal, headers: { ...refusal.headers, ...headers } });
      };
    const everywhere = (): boolean => true;
    const middlePage = ({ asks, nth }: Asked): boolean => asks === 'list' && nth === (isPaged ? 2 : 1);
    let middleSeen = 0;
    /** From the middle of the list on, to the end of the run. */
    const fromTheMiddle = (asked: Asked): boolean => {
      if (asked.position === 1) middleSeen = 0;
      if (middlePage(asked)) middleSeen = asked.position;
      return middleSeen > 0;
    };

    await t.test('what is new, edited and deleted is found by a run that nothing disturbs', async () => {
      const { middle } = await setScene();
      stage.remove(middle[1] as ShownItem);
      const outcome = await stage.run();
      assert.deepEqual([outcome.status, outcome.errors], ['complete', []]);
      assert.deepEqual([outcome.captured, outcome.changed], [hasThreads ? 2 : 1, 1]);
      await assertNothingWrong(outcome, collector.tellsDeletions ? 1 : 0);
      await assertCompletedLater();
      const again = await stage.run();
      assert.deepEqual([again.status, again.captured, again.changed, again.missing], ['complete', 0, 0, 0]);
    });

    if (isPaged) {
      await t.test('a cursor that repeats ends the run as partial', async () => {
        await setScene();
        let second: Parameters<Misbehaviour>[1] | null = null;
        stage.strike = ({ asks, nth }) => {
          if (asks !== 'list' || nth < 2) return null;
          // Who goes on all the same must not go on for ever.
          if (nth > 50) return refuse(500);
          return (response, due) => {
            second ??= due;
            sendAnswer(response, second);
          };
        };
        await assertTold(await stage.run(), 'repeated-cursor', /circle/);
        await assertCompletedLater();
      });

      await t.test(
        'a page that shrinks while the list is read costs nothing and deletes nothing',
        async () => {
          const { own } = await setScene();
          stage.before = ({ asks, nth }) => {
            if (asks === 'list' && nth === 2) for (const item of own.slice(0, 2)) stage.remove(item);
          };
          await assertNothingWrong(await stage.run());
          // The news was deleted as soon as it was captured.
          await assertCompletedLater(2);
        },
      );

      await t.test('a page that became empty is not the end of the list', async () => {
        const { own, middle } = await setScene();
        const last = own.at(-1) as ShownItem;
        last.text = 'Edited on the last page';
        for (const item of middle) item.unlisted = true;
        await assertComplete(await stage.run());
        await assertCompletedLater();
      });
    }

    if (whole)
      await t.test(
        'an item that is edited while the list is read is kept as it was and as it is',
        async () => {
          const { own } = await setScene();
          const item = own[0] as ShownItem;
          const trigger = isPaged ? middlePage : ({ asks }: Asked): boolean => asks !== 'list';
          stage.before = (asked) => {
            if (trigger(asked)) item.text = 'Edited while it was read';
          };
          const outcome = await stage.run();
          assert.equal(outcome.status, 'complete');
          await assertNothingWrong(outcome);
          item.text = 'Edited while it was read';
          await assertCompletedLater();
          assert.deepEqual(await stage.versionsOf(item), ['Text of news', 'Edited while it was read']);
        },
      );

    for (const [style, headers, wait] of [
      ['seconds', () => ({ 'retry-after': '7' }), 7000],
      ['an HTTP date', (now) => ({ 'retry-after': new Date(now + 9000).toUTCString() }), 9000],
      [
        'epoch seconds',
        (now) => ({ 'ratelimit-remaining': '0', 'ratelimit-reset': String(Math.round(now / 1000) + 11) }),
        11_000,
      ],
      [
        'a number of seconds until the reset',
        () => ({ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '13' }),
        13_000,
      ],
      [
        'an ISO date',
        (now) => ({
          'x-ratelimit-remaining': '0',
          'x-ratelimit-reset': new Date(now + 15_000).toISOString(),
        }),
        15_000,
      ],
    ] as readonly (readonly [string, (now: number) => Record<string, string>, number])[]) {
      if (!whole) break;
      await t.test(`a 429 that says in ${style} when to come back is waited out`, async () => {
        await setScene();
        stage.strike = (asked) => (middlePage(asked) ? refuse(429, headers(Date.now())) : null);
        const outcome = await stage.run();
        await assertComplete(outcome);
        const longest = Math.max(...outcome.slept);
        assert.ok(longest > wait - 2000 && longest < wait + 2000, `waited ${longest} ms`);
      });
    }

    const LOGIN = ['not-the-expected-format', /./] as const;
    const EMPTY = ['not-the-expected-format', /empty/] as const;
    await tells('a 500 that stays ends what it concerns', fromTheMiddle, refuse(500), ['http-status', /500/]);
    await tells('a login page in the place of an answer is put aside', middlePage, sendLoginPage, LOGIN, {
      rejected: 1,
    });
    await tells('access that expires in the middle of a run is told', fromTheMiddle, refuse(401), [
      'access-lost',
      /401/,
    ]);
    if (whole) {
      await tells(
        'a 429 that asks for a day of quiet ends the run, which says until when',
        fromTheMiddle,
        refuse(429, { 'retry-after': '86400' }),
        ['rate-limited', /until \d{4}-/],
      );
      await t.test('a 500 that passes is not even noticed', async () => {
        await setScene();
        stage.strike = (asked) => (middlePage(asked) ? refuse(500) : null);
        await assertComplete(await stage.run());
      });
      await tells('a service that only answers 500 ends the run', everywhere, refuse(500), [
        'http-status',
        /500/,
      ]);
      await tells('a service that only shows a login page ends the run', everywhere, sendLoginPage, LOGIN);
      await tells('an empty answer is a failure', middlePage, sendNothing, EMPTY);
      await tells('a service that only gives empty answers ends the run', everywhere, sendNothing, EMPTY);
      await tells('access that is refused from the beginning is told', everywhere, refuse(403), [
        'access-lost',
        /403/,
      ]);
      await tells(
        'a server that sends a byte now and then is given up',
        middlePage,
        sendSlowly,
        ['timeout', /took longer/],
        { limits: { totalMilliseconds: 200 } },
      );
      await tells('a body that is announced as a gigabyte is not read', middlePage, announceGigabyte, [
        'too-large',
        /bytes/,
      ]);
      await tells('a body that grows to a gigabyte is given up', middlePage, sendGigabyte, [
        'too-large',
        /bytes/,
      ]);
    }

    await t.test('a list that is suddenly empty deletes nothing', async () => {
      const { own } = await setScene();
      for (const item of own) item.unlisted = true;
      await assertNothingWrong(await stage.run());
      for (const item of own) item.unlisted = false;
      await assertCompletedLater();
    });

    if (collector.tellsDeletions) {
      for (const [what, bad] of [
        ['an empty answer', sendNothing],
        ...(whole
          ? ([
              ['a 401', refuse(401)],
              ['a login page', sendLoginPage],
              ['a 500', refuse(500)],
              ['an answer too slow', sendSlowly],
            ] as const)
          : []),
      ] as const) {
        await t.test(`${what} to the question after a deleted item deletes nothing yet`, async () => {
          const { middle } = await setScene();
          stage.remove(middle[0] as ShownItem);
          // From the first request of a look-up on, then from the second, until none is left to spoil.
          for (let from = 1; ; from += 1) {
            let isSpoilt = false;
            stage.strike = ({ asks, nth }) => {
              if (asks !== 'look-up' || nth < from) return null;
              isSpoilt = true;
              return bad;
            };
            const outcome = await stage.run(bad === sendSlowly ? { limits: { totalMilliseconds: 500 } } : {});
            await assertNothingWrong(outcome, isSpoilt ? 0 : 1);
            assert.equal(outcome.status, isSpoilt ? 'partial' : 'complete');
            assert.equal(outcome.errors.length > 0, isSpoilt);
            if (!isSpoilt) break;
          }
          await assertCompletedLater();
        });
      }
    }

    for (const hours of whole ? [1, -1] : []) {
      const off = hours > 0 ? 'ahead' : 'behind';
      await t.test(
        `a clock of ours that is an hour ${off} costs nothing, and a 429 is waited out all the same`,
        async () => {
          const { middle } = await setScene();
          const deleted = middle[1] as ShownItem;
          stage.remove(deleted);
          stage.strike = (asked) => {
            const reset = String(Math.round(Date.now() / 1000) + 11);
            return middlePage(asked)
              ? refuse(429, { 'ratelimit-remaining': '0', 'ratelimit-reset': reset })
              : null;
          };
          await using archive = await stage.openAt({ now: () => systemClock.now().add({ hours }) });
          const outcome = await stage.run({ archive });
          assert.deepEqual([outcome.status, outcome.errors], ['complete', []]);
          const longest = Math.max(...outcome.slept);
          assert.ok(longest > 9000 && longest < 13_000, `waited ${longest} ms`);
          await assertNothingWrong(outcome, collector.tellsDeletions ? 1 : 0);
          stage.items.push(deleted);
          stage.behave();
          const back = await stage.run();
          assert.equal(back.restored, collector.tellsDeletions ? 1 : 0);
          await assertCompletedLater();
        },
      );
    }

    if (whole) {
      await t.test('a clock of theirs that is an hour ahead is nothing to us', async () => {
        await setScene();
        stage.strike = () => (response, due) =>
          sendAnswer(response, {
            ...due,
            headers: { ...due.headers, date: new Date(Date.now() + HOUR).toUTCString() },
          });
        await assertComplete(await stage.run());
        await assertCompletedLater();
      });
    }

    if (whole)
      await t.test('a run that is killed between two pages is told by the next, which goes on', async () => {
        await setScene(CONFIGURED);
        let kill = (): void => undefined;
        stage.asked.length = 0;
        stage.before = (asked) => {
          if (middlePage(asked)) kill();
        };
        const ended = await runDisturbed(stage, ['collect', CONFIGURED], {
          begun: (child) => {
            kill = () => void child.kill('SIGKILL');
          },
        });
        assert.equal(ended.signal, 'SIGKILL', ended.stderr);
        assert.deepEqual(await stage.problems(), []);
        stage.behave();
        const next = await stage.run();
        assert.deepEqual(
          [next.status, next.errors.map(({ code }) => code)],
          ['complete', ['previous-run-interrupted']],
        );
        await assertNothingWrong(next);
        await assertCompletedLater();
      });

    await t.test('a new comparison rule makes no versions of items that are as they were', async () => {
      const { own } = await setScene();
      await stage.run();
      const ruled = { altered: underNewRule };
      const outcome = await stage.run(ruled);
      assert.deepEqual([outcome.status, outcome.changed], ['complete', 0]);
      (own[0] as ShownItem).text = 'Edited under the new rule';
      assert.equal((await stage.run(ruled)).changed, 1);
      await assertNothingWrong(await stage.run(ruled));
      assert.deepEqual(await stage.problems(), []);
    });

    await t.test('the archives verify after all of it', async () => {
      assert.deepEqual([...stage.problemsLeft, ...(await stage.problems())], []);
    });

    // The last, for it leaves more to verify than all others together.
    if (hasThreads) {
      await t.test(
        `a thread of ${COMMENTS} comments is read over all of its pages, and is whole`,
        async () => {
          await stage.begin('thread');
          const root = stage.publish('much discussed');
          const depth = collector.threadDepth as number;
          let above = root;
          for (let n = 0; n < COMMENTS; n += 1)
            above = stage.reply(`comment ${n}`, n % depth === 0 ? root : above);
          const outcome = await stage.run();
          const isInParts = stage.asked.length > (isWhole ? 10 : 3);
          assert.ok(isInParts || collector.threadIsOneAnswer === true, 'it came in one piece');
          assert.equal(outcome.captured, COMMENTS + 1 + besides());
          await assertComplete(outcome);
        },
      );
    }
  });
}

/** The collector as a later version of it, which compares by more, and says what the rule before would have said. */
function underNewRule(collector: Collector): Collector {
  return {
    ...collector,
    comparisonRule: `${collector.comparisonRule}+1`,
    async *collect(options) {
      // A validator would hide from the new rule what the old one has seen.
      for await (const event of collector.collect({ ...options, isLatest: false })) {
        if (event.type !== 'page') yield event;
        else
          yield {
            ...event,
            sightings: event.sightings.map((sighting) => ({
              ...sighting,
              comparison: { more: true, before: sighting.comparison },
              former: { rule: collector.comparisonRule, comparison: sighting.comparison },
            })),
          };
      }
    },
  };
}
