// Retention schedules as officers write them. Unknown keys are errors: a misspelt condition must not silently match everything.

import { z } from 'zod';
import { ITEM_KINDS } from '../core/vocabulary.ts';

export const civilDate = z.string().refine((text) => {
  try {
    return Temporal.PlainDate.from(text).toString() === text;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}, 'must be a date, such as 2026-11-01');

const words = z.array(z.string().min(1)).min(1);

const series = z.strictObject({
  code: z.string().min(1),
  title: z.string().min(1),
  description: z.string().optional(),
  exclusions: z.string().optional(),
  authority: z
    .array(
      z.strictObject({
        cite: z.string().min(1),
        url: z.string().optional(),
        retrieved: civilDate.optional(),
      }),
    )
    .min(1),
  /** All that are given must hold. */
  match: z.strictObject({
    sources: words.optional(),
    platforms: words.optional(),
    kinds: z.array(z.enum(ITEM_KINDS)).min(1).optional(),
    authors: words.optional(),
    text: words.optional(),
    tags: words.optional(),
    languages: words.optional(),
  }),
  /** Lower goes first; series of one order that both match are ambiguous. */
  order: z.int().default(100),
  trigger: z.enum(['created', 'received', 'published']),
  cutoff: z.enum(['none', 'month-end', 'calendar-year-end', 'fiscal-year-end']).default('none'),
  period: z
    .string()
    .regex(
      /^P(?=\d)(\d{1,4}Y)?(\d{1,5}M)?(\d{1,5}W)?(\d{1,6}D)?$/,
      'must be an ISO 8601 period of years, months, weeks or days, such as P2Y',
    )
    .optional(),
  disposition: z.enum(['destroy', 'transfer', 'permanent', 'review']),
  notes: z.string().optional(),
});

export const scheduleSchema = z
  .strictObject({
    id: z.string().regex(/^[a-z0-9][a-z0-9-]*$/, 'must be lower-case letters, digits and hyphens'),
    version: z.string().min(1),
    issuer: z.string().min(1),
    jurisdiction: z.string().min(1),
    effective: z.strictObject({ from: civilDate, to: civilDate.optional() }),
    adopted: z.boolean(),
    adoptedBy: z.string().optional(),
    adoptedOn: civilDate.optional(),
    series: z
      .array(
        series
          .refine((one) => one.disposition === 'permanent' || one.period !== undefined, {
            path: ['period'],
            message: 'is missing: only permanent series have none',
          })
          .refine((one) => one.period === undefined || /[1-9]/.test(one.period), {
            path: ['period'],
            message: 'must not be zero',
          }),
      )
      .min(1),
  })
  .refine((one) => !one.adopted || (one.adoptedBy !== undefined && one.adoptedOn !== undefined), {
    path: ['adopted'],
    message: 'is true, so adoptedBy and adoptedOn must say by whom and when',
  });
export type Schedule = z.infer<typeof scheduleSchema>;
export type Series = Schedule['series'][number];

/** A hold, as counsel writes it. All conditions of its scope that are given must hold; an empty scope covers everything. */
export const holdSchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9-]*$/, 'must be lower-case letters, digits and hyphens'),
  matter: z.string().min(1),
  kind: z.enum(['litigation', 'anticipated', 'audit', 'investigation', 'records-request']),
  scope: z.strictObject({
    sources: words.optional(),
    authors: words.optional(),
    kinds: z.array(z.enum(ITEM_KINDS)).min(1).optional(),
    from: civilDate.optional(),
    to: civilDate.optional(),
    text: words.optional(),
    records: words.optional(),
  }),
  issued: z.strictObject({
    by: z.string().min(1),
    at: civilDate,
    authority: z.string().optional(),
    reason: z.string().min(1),
  }),
  released: z.strictObject({ by: z.string().min(1), at: civilDate, reason: z.string().min(1) }).optional(),
});
export type Hold = z.infer<typeof holdSchema>;
