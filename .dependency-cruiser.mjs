// The import table of src/: which room may know which. `npm test` enforces it.

const rooms = {
  core: [],
  db: ['core'],
  store: ['core'],
  sources: ['core'],
  policy: ['core'],
  alerts: ['core', 'sources'],
  ledger: ['core', 'db'],
  capture: ['core', 'db', 'sources', 'store', 'ledger'],
  disposition: ['core', 'db', 'store', 'ledger', 'policy', 'capture'],
  upkeep: ['core', 'db', 'store', 'ledger', 'disposition'],
  search: ['core', 'db', 'ledger', 'policy'],
  requests: ['core', 'db', 'search', 'ledger', 'policy'],
  backup: ['core', 'db', 'store', 'ledger', 'disposition'],
  export: ['core', 'db', 'store', 'ledger', 'policy', 'search', 'requests'],
  doctor: ['core', 'db', 'store'],
};

const forbidden = Object.entries(rooms).map(([room, may]) => ({
  name: `${room}-imports-only-what-the-table-allows`,
  severity: 'error',
  from: { path: `^src/${room}/` },
  to: { path: '^src/', pathNot: [`^src/${room}/`, ...may.map((other) => `^src/${other}/`)] },
}));

// biome-ignore lint/style/noDefaultExport: the tool reads its settings from the default export
export default {
  forbidden: [
    ...forbidden,
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'the-format-and-its-verifier-know-core-only',
      severity: 'error',
      from: {
        path: '^src/ledger/(entry|tree|note|tiles|receipt|disclosure|documents|projection|chain|verify|verify/[a-z]+)\\.js$',
      },
      to: { path: '^src/(?!core/|ledger/)' },
    },
    {
      name: 'only-disposition-may-erase',
      severity: 'error',
      from: { pathNot: '^src/(disposition/|store/|context\\.js|operations\\.js|recovery\\.js|storage\\.js)' },
      to: { path: '^src/store/eraser\\.js$' },
    },
    {
      name: 'only-renewal-may-lock-on',
      severity: 'error',
      from: { pathNot: '^src/(store/|locks\\.js)' },
      to: { path: '^src/store/lock-keeper\\.js$' },
    },
    {
      name: 'interfaces-do-not-know-each-other-nor-the-rooms',
      severity: 'error',
      from: { path: '^src/interfaces/([^/]+)/' },
      to: { path: '^src/', pathNot: ['^src/interfaces/$1/', '^src/core/', '^src/[a-z-]+\\.js$'] },
    },
  ],
  options: { parser: 'acorn', doNotFollow: { path: 'node_modules' } },
};
