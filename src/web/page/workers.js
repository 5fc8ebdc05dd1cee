// The page's own workers: the one that reads PDFs, and one that only shows that this browser starts any.

import { fetchWhole } from './server.js';

const HOME = new URL('.', import.meta.url).href;
const PROBE = `${HOME}probe.worker.js`;
export const PDF_WORKER = `${HOME}vendor/pdfjs/pdf.worker.min.js`;

// A phone with 1 GB under load takes seconds; one that was refused without a word never answers.
const PROBE_MS_MAX = 15000;

function trusted(address) {
  if (!window.trustedTypes) return address;
  const policy = trusted.policy || window.trustedTypes.createPolicy('chartseal-worker', {
    createScriptURL: (asked) => {
      if (asked !== PDF_WORKER && asked !== PROBE) throw new TypeError('not a worker of ours');
      return asked;
    },
  });
  trusted.policy = policy;
  return policy.createScriptURL(address);
}

export function startWorker(address) {
  return new Worker(trusted(address));
}

/**
 * Whether this browser starts workers for us: it may have them and refuse them, by a policy that it reads otherwise.
 * Throws `offline` where the worker did not even arrive.
 */
export async function workersStart() {
  await fetchWhole(PROBE);
  let worker = null;
  const answered = await new Promise((resolve) => {
    setTimeout(() => resolve(false), PROBE_MS_MAX);
    try {
      worker = startWorker(PROBE);
      worker.onmessage = () => resolve(true);
      worker.onerror = () => resolve(false);
    } catch (refused) {
      resolve(false);
    }
  });
  if (worker) worker.terminate();
  return answered;
}
