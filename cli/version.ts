import manifest from '../package.json' with { type: 'json' };

/** Version of this Fairlead. */
export const VERSION = manifest.version;
