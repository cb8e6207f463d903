/** Takes the right to edit a file that was edited on another server and is free now. */

import type { ServerConnection } from '@jupyterlab/services';

import type { Asked } from './api';
import { post } from './api';

/** Resolves when this server has the pen, which the status of the room says too. Rejects with the server's words, e.g. who was faster. */
export async function takePen(context: Asked, settings: ServerConnection.ISettings): Promise<void> {
  await post('pen', context, settings);
}
