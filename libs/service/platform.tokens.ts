export const CONFIG = Symbol('configuration');
export const LOGGER = Symbol('logger');
export const REGISTRY = Symbol('metrics registry');
export const MONEY_REDIS = Symbol('money connection');
