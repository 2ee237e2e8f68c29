import { Worker, isMainThread } from 'worker_threads'
export const main = isMainThread
export const run = () => new Worker('for (;;) {}', { eval: true })
export const web = () => new globalThis.Worker('data:text/javascript,for(;;){}', { type: 'module' })
