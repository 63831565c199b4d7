// Preloaded into a process (`node --import`): its clock is off by CLOCK_OFF milliseconds, for whatever code reads the time of day.

const off = Number(process.env.CLOCK_OFF ?? 0);
const TrueDate = Date;

globalThis.Date = class extends TrueDate {
  constructor(...parameters) {
    if (parameters.length === 0) super(TrueDate.now() + off);
    else super(...parameters);
  }
  static now() {
    return TrueDate.now() + off;
  }
};

const trueInstant = Temporal.Now.instant;
Temporal.Now.instant = () => trueInstant.call(Temporal.Now).add({ milliseconds: off });
