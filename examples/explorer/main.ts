// The page's text is index.html; each <...-panel> in it is one module.
import { showPanel } from './address.ts';

try {
  const { start } = await import('./panels.ts');
  start();
  showPanel();
  addEventListener('hashchange', showPanel);
} catch (error) {
  document.getElementById('model')!.textContent = `The page cannot start: ${(error as Error).message}`;
}
