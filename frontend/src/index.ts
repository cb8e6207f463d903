/** Where a shared document is saved, and preview mode for those who may only read it. */

import { executor } from './executor';
import { filehash } from './filehash';
import { preview } from './preview';
import { provider, rooms } from './provider';
import { status } from './statusbar';

export * from './tokens';

export default [rooms, provider, executor, filehash, preview, status];
