/** Which widgets show a document that people may edit together. */

import { DocumentWidget } from '@jupyterlab/docregistry';
import type { Widget } from '@lumino/widgets';

/** Factories of widgets with which a collaborative document can be edited. */
export const FACTORIES = ['Notebook', 'Editor'];

export function isDocument(widget: Widget): widget is DocumentWidget {
  return widget instanceof DocumentWidget;
}
