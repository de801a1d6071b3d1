import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  base: '/graphiql/',
  resolve: {
    alias: [{ find: 'monaco-editor/esm/vs/editor/edcore.main.js', replacement: here('./editor.js') }],
    dedupe: ['graphql', 'react', 'react-dom', 'monaco-editor'],
  },
  worker: { format: 'es' },
  build: {
    outDir: here('./bundle'),
    assetsDir: 'assets',
    // Nothing inlined as data: the page's policy then needs no exception for images or scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 3000,
    license: { fileName: 'LICENSES.md' },
    target: 'es2022',
    rolldownOptions: {
      checks: { moduleLevelDirective: false },
      // Ours apart from what others wrote: a change here leaves the large files, and their names, as they are.
      output: {
        advancedChunks: { groups: [{ name: 'graphiql', test: /node_modules\/(?!monaco-|prettier)/ }] },
      },
    },
  },
})
