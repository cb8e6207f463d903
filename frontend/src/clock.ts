/** Times as this person's browser writes them. */

import type { IClock } from './describe';

export const clock: IClock = {
  time: seconds =>
    new Date(seconds * 1000).toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' }),
  date: seconds => new Date(seconds * 1000).toLocaleString()
};
