// The one place that names the libraries: pages import their tools from here.
import { h, render, Fragment, createContext } from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";

export const html = htm.bind(h);
export { h, render, Fragment, createContext };
export { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useContext, useErrorBoundary } from "./vendor/hooks.mjs";
