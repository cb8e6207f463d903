/** The sign for two versions side by side. */

import { LabIcon } from '@jupyterlab/ui-components';

export const compareIcon = new LabIcon({
  name: 'cs3collab:compare',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">' +
    '<path class="jp-icon3" fill="#616161" d="M7 5v4h9v2H7v4L2 10zm10 4 5 5-5 5v-4H8v-2h9z"/></svg>'
});
