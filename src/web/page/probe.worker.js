// Answers, so that the page knows before anything is spent that this browser starts workers for it.

self.postMessage('here');
