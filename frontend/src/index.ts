/** Where a shared document is saved, preview mode for those who may only read it, and what others did to the file meanwhile. */

import { conflicts } from './conflicts/plugin';
import { copies } from './copies/plugin';
import { executor } from './executor';
import { filehash } from './filehash';
import { preview } from './preview';
import { provider, rooms } from './provider';
import { rebase } from './rebase';
import { status } from './statusbar';

export * from './tokens';

export default [rooms, provider, executor, filehash, preview, status, conflicts, rebase, copies];
