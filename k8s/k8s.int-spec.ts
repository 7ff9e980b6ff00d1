import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { ScaledObject } from '@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject';
import { PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule';
import { ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor';
import { Deployment, StatefulSet } from 'kubernetes-models/apps/v1';
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2';
import { Job } from 'kubernetes-models/batch/v1';
import { Ingress, NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import { ConfigMap, Namespace, Secret, Service, type IContainer, type IPodSpec } from 'kubernetes-models/v1';
import { parse, parseAllDocuments } from 'yaml';
import { ConfigError, loadConfig, SERVICES, type Service as ServiceName } from '#libs/config/config.js';
import { environmentSchema } from '#libs/config/environment.js';

const root = process.cwd();

interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string>; annotations?: Record<string, string> };
  // The schema of each kind checks what is in it.
  // oxlint-disable-next-line typescript/no-explicit-any
  [field: string]: any;
}

/** The published schema of each kind in these manifests. */
const KINDS: Record<string, new (data: never) => { validate(): void }> = {
  'apps/v1 Deployment': Deployment,
  'apps/v1 StatefulSet': StatefulSet,
  'autoscaling/v2 HorizontalPodAutoscaler': HorizontalPodAutoscaler,
  'batch/v1 Job': Job,
  'keda.sh/v1alpha1 ScaledObject': ScaledObject,
  'monitoring.coreos.com/v1 PrometheusRule': PrometheusRule,
  'monitoring.coreos.com/v1 ServiceMonitor': ServiceMonitor,
  'networking.k8s.io/v1 Ingress': Ingress,
  'networking.k8s.io/v1 NetworkPolicy': NetworkPolicy,
  'policy/v1 PodDisruptionBudget': PodDisruptionBudget,
  'v1 ConfigMap': ConfigMap,
  'v1 Namespace': Namespace,
  'v1 Secret': Secret,
  'v1 Service': Service,
};

const build = (overlay: string): Manifest[] =>
  parseAllDocuments(
    execFileSync('kustomize', ['build', join(root, 'k8s', 'overlays', overlay)], { encoding: 'utf8' }),
  ).map((document) => document.toJS() as Manifest);
const OVERLAYS = { local: build('local'), production: build('production') };
const of = (overlay: keyof typeof OVERLAYS, kind: string, name: string): Manifest => {
  const found = OVERLAYS[overlay].find((one) => one.kind === kind && one.metadata.name === name);
  if (!found) throw new Error(`${overlay} has no ${kind} ${name}`);
  return found;
};
const podOf = (overlay: keyof typeof OVERLAYS, service: ServiceName): IPodSpec =>
  of(overlay, 'Deployment', service).spec.template.spec as IPodSpec;
const containerOf = (overlay: keyof typeof OVERLAYS, service: ServiceName): IContainer =>
  podOf(overlay, service).containers[0]!;

it('a schema is not content with everything', () => {
  const good = of('production', 'Deployment', 'ingress');
  expect(() => new Deployment({ ...good, spec: { ...good.spec, replicas: 'two' } } as never).validate()).toThrow(
    /replicas/,
  );
  expect(() =>
    new ScaledObject({ ...of('production', 'ScaledObject', 'forwarding'), spec: { triggers: [] } } as never).validate(),
  ).toThrow(/scaleTargetRef/);
});

describe.each(Object.keys(OVERLAYS) as (keyof typeof OVERLAYS)[])('the overlay %s', (overlay) => {
  it.each(OVERLAYS[overlay].map((one) => [one.kind, one.metadata.name, one] as const))(
    '%s %s is as its published schema says',
    (kind, _, manifest) => {
      const Kind = KINDS[`${manifest.apiVersion} ${kind}`];
      if (!Kind) throw new Error(`no package has a schema for ${manifest.apiVersion} ${kind}`);
      expect(() => new Kind(manifest as never).validate()).not.toThrow();
      if (kind !== 'Namespace') expect(manifest.metadata.namespace).toBe('daypass');
    },
  );

  it('has nothing twice, and no reference that leads nowhere', () => {
    const manifests = OVERLAYS[overlay];
    const names = manifests.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
    expect(names.length).toBe(new Set(names).size);
    for (const service of SERVICES) {
      const pod = podOf(overlay, service);
      const maps = [
        ...(pod.volumes ?? []).map(({ configMap }) => configMap?.name),
        ...(pod.containers[0]!.envFrom ?? []).map((from) => from.configMapRef?.name),
      ];
      for (const name of maps.filter(Boolean)) expect(names).toContain(`ConfigMap/${name}`);
    }
    for (const { spec } of manifests.filter(({ kind }) => ['HorizontalPodAutoscaler', 'ScaledObject'].includes(kind)))
      expect(names).toContain(`Deployment/${spec.scaleTargetRef.name}`);
    for (const { spec } of manifests.filter(({ kind }) => kind === 'Ingress'))
      for (const { http } of spec.rules)
        for (const { backend } of http.paths) {
          const { ports } = of(overlay, 'Service', backend.service.name).spec as { ports: { name: string }[] };
          expect(ports.map(({ name }) => name)).toContain(backend.service.port.name);
        }
  });
});

describe.each(SERVICES)('%s', (service) => {
  const container = containerOf('production', service);
  const settings = of('production', 'ConfigMap', container.envFrom![0]!.configMapRef!.name!).data as Record<
    string,
    string
  >;
  const FOLDER = join(root, 'k8s', 'base');
  const secrets = (container.env ?? []).map(({ name, valueFrom }) => ({
    ...valueFrom!.secretKeyRef!,
    secret: valueFrom!.secretKeyRef!.name,
    name,
  }));
  const example: Record<string, string> = {
    ...{ OPENAI_API_KEY: 'sk', REDIS_URL: 'redis://redis:6379', DATABASE_URL: 'postgres://daypass@postgres/daypass' },
    ...{
      DAYPASS_SECRET: 'x'.repeat(32),
      DAYPASS_ADMIN_TOKEN: 'x'.repeat(16),
      DAYPASS_AUDITOR_PASSWORD: 'x'.repeat(16),
    },
  };
  const required = Object.fromEntries(
    secrets.filter(({ optional }) => !optional).map(({ name }) => [name, example[name]!]),
  );
  const env = { ...settings, ...required, DAYPASS_CONFIG: join(FOLDER, 'config.yaml') };

  it('starts with what it is given, and not with less', () => {
    expect(settings.DAYPASS_CONFIG).toBe('/etc/daypass/config.yaml');
    expect(container.volumeMounts).toContainEqual({ name: 'config', mountPath: '/etc/daypass', readOnly: true });
    expect(() => loadConfig(service, env)).not.toThrow();
    for (const name of Object.keys(required)) {
      const { [name]: _, ...less } = env as Record<string, string>;
      expect(() => loadConfig(service, less)).toThrow(ConfigError);
    }
  });

  it('is given no variable that the code does not know', () => {
    for (const name of [...Object.keys(settings), ...secrets.map((one) => one.name)])
      expect(Object.keys(environmentSchema.shape)).toContain(name);
    for (const { name, key, secret } of secrets) expect([secret, key]).toEqual(['daypass', name]);
  });

  it('has the ports that the code listens on, for its service, its probes and its network policies', () => {
    const config = loadConfig(service, env);
    const ports = Object.fromEntries(container.ports!.map((port) => [port.name, port.containerPort]));
    expect(ports).toEqual({
      ops: config.ops.port,
      ...(service === 'ingress' ? { visitors: config.visitors.port } : {}),
      ...(service === 'accounting' ? { admin: config.admin.port } : {}),
    });
    expect([config.ops.host, config.visitors.host]).toEqual(['0.0.0.0', '0.0.0.0']);
    const { ports: served, selector } = of('production', 'Service', service).spec as {
      ports: { name: string; port: number; targetPort: string }[];
      selector: object;
    };
    expect(Object.fromEntries(served.map(({ targetPort, port }) => [targetPort, port]))).toEqual(ports);
    expect(of('production', 'Deployment', service).spec.template.metadata.labels).toMatchObject(selector);
    const source = readFileSync(join(root, 'libs', 'service', 'ops-server.ts'), 'utf8');
    for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) {
      expect(probe!.httpGet!.port).toBe('ops');
      expect(source).toContain(`'${probe!.httpGet!.path}'`);
    }
    const policies = OVERLAYS.production.filter(({ kind }) => kind === 'NetworkPolicy');
    const admitted = policies.flatMap(({ spec }) =>
      ((spec.ingress ?? []) as { ports?: { port: number; endPort?: number }[] }[]).flatMap((rule) => rule.ports ?? []),
    );
    for (const port of Object.values(ports) as number[])
      expect(admitted.some((one) => port >= one.port && port <= (one.endPort ?? one.port))).toBe(true);
  });

  it('runs the program that is built, without rights', () => {
    expect(existsSync(join(root, container.args![0]!.replace(/^dist\//, '').replace(/\.js$/, '.ts')))).toBe(true);
    expect(podOf('production', service)).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, runAsUser: 1000 },
    });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(container.resources).toMatchObject({
      requests: { cpu: expect.any(String), memory: expect.any(String) },
      limits: { memory: expect.any(String) },
    });
  });

  it('is given the time to end its calls', () => {
    const { shutdownDeadlineMs } = loadConfig(service, env).limits;
    const [, seconds] = container.lifecycle!.preStop!.exec!.command!;
    expect(podOf('production', service).terminationGracePeriodSeconds! * 1_000).toBeGreaterThan(
      shutdownDeadlineMs + Number(seconds) * 1_000,
    );
  });
});

describe('production', () => {
  it('has no secret in it, and an image with a version', () => {
    expect(OVERLAYS.production.filter(({ kind }) => kind === 'Secret')).toEqual([]);
    for (const { spec } of OVERLAYS.production.filter(({ kind }) => ['Deployment', 'Job'].includes(kind)))
      for (const { image } of spec.template.spec.containers as { image: string }[])
        expect(image).toMatch(/:\d+\.\d+\.\d+$/);
  });

  it('has the job that migrates', () => {
    const { args } = (of('production', 'Job', 'migrate').spec.template.spec as IPodSpec).containers[0]!;
    expect(args).toEqual(['dist/apps/accounting/migrate.js']);
    expect(existsSync(join(root, 'apps', 'accounting', 'migrate.ts'))).toBe(true);
  });

  it('leaves the number of processes to autoscaling, but for accounting', () => {
    for (const service of SERVICES)
      expect(of('production', 'Deployment', service).spec.replicas).toBe(service === 'accounting' ? 1 : undefined);
  });

  it('wakes by the same alerts as compose does', () => {
    const { groups } = parse(readFileSync(join(root, 'observability', 'alerts.yml'), 'utf8')) as { groups: object[] };
    expect(of('production', 'PrometheusRule', 'daypass').spec.groups).toEqual(groups);
  });

  it('lets out what is sent to a collector of traces, and in what a certificate takes', () => {
    const policies = OVERLAYS.production.filter(({ kind }) => kind === 'NetworkPolicy');
    const ports = (direction: 'ingress' | 'egress'): number[] =>
      policies.flatMap(({ spec }) =>
        ((spec[direction] ?? []) as { ports: { port: number }[] }[]).flatMap((rule) =>
          rule.ports.map(({ port }) => port),
        ),
      );
    expect(ports('egress')).toEqual(expect.arrayContaining([25, 53, 443, 465, 587, 4318, 5432, 6379, 26_379]));
    expect(ports('ingress')).toContain(8089);
  });

  it('takes bodies as large as ingress does, and so does the nginx of the docs', () => {
    const env = { DAYPASS_SECRET: 'x'.repeat(32), REDIS_URL: 'redis://redis:6379' };
    const { bodyBytes, uploadBytes } = loadConfig('ingress', env).limits;
    const mebibytes = Math.max(bodyBytes, uploadBytes) / 1_048_576;
    const { annotations } = of('production', 'Ingress', 'visitors').metadata;
    expect(annotations!['nginx.ingress.kubernetes.io/proxy-body-size']).toBe(`${mebibytes}m`);
    const page = readFileSync(join(root, 'docs', 'production.md'), 'utf8');
    expect(page).toContain(`client_max_body_size ${mebibytes}m;`);
  });

  it('gives links the address of its ingress, and trusts the one proxy before it', () => {
    const { DAYPASS_PUBLIC_URL, DAYPASS_PROXY_HOPS } = of(
      'production',
      'ConfigMap',
      containerOf('production', 'ingress').envFrom![0]!.configMapRef!.name!,
    ).data as Record<string, string>;
    expect(DAYPASS_PUBLIC_URL).toBe(`https://${of('production', 'Ingress', 'visitors').spec.rules[0].host}`);
    expect(DAYPASS_PROXY_HOPS).toBe('1');
  });

  it('scales by metrics that there are', () => {
    const documented = readFileSync(join(root, 'docs', 'metrics.md'), 'utf8');
    const scaled = JSON.stringify(OVERLAYS.production.filter(({ kind }) => kind === 'ScaledObject'));
    const names = [...new Set(scaled.match(/\bdaypass_\w+/g))];
    expect(names).toContain('daypass_lane_oldest_seconds');
    for (const name of names) expect(documented).toContain(`\`${name}\``);
  });
});

it('the balancer names the address of its caller, which ingress takes from it', () => {
  const balancer = readFileSync(join(root, 'docker', 'balancer', 'haproxy.cfg'), 'utf8');
  // Without `if-none`: it adds its own line after whatever a visitor wrote.
  expect(balancer).toMatch(/^ {2}option forwardfor$/m);
  const compose = readFileSync(join(root, 'docker-compose.yml'), 'utf8');
  expect(compose).toContain('DAYPASS_PROXY_HOPS: ${DAYPASS_PROXY_HOPS:-1}');
});

it('a cluster on your own machine rehearses', () => {
  const map = containerOf('local', 'forwarding').envFrom![0]!.configMapRef!.name!;
  const secret = OVERLAYS.local.find(({ kind }) => kind === 'Secret')!.data as Record<string, string>;
  const { OPENAI_API_KEY, REDIS_URL, DAYPASS_SECRET } = Object.fromEntries(
    Object.entries(secret).map(([name, value]) => [name, Buffer.from(value, 'base64').toString()]),
  );
  const { DAYPASS_CONFIG: _, ...settings } = of('local', 'ConfigMap', map).data as Record<string, string>;
  const config = loadConfig('forwarding', { ...settings, OPENAI_API_KEY, REDIS_URL, DAYPASS_SECRET });
  const [port] = of('local', 'Service', 'rehearsal').spec.ports as { port: number }[];
  expect(config).toMatchObject({ rehearsed: true, openai: { baseUrl: `http://rehearsal:${port!.port}/v1` } });
});

it("a web page can read the balancer's own refusal, and when to try again", () => {
  const balancer = readFileSync(join(root, 'docker', 'balancer', 'haproxy.cfg'), 'utf8');
  const [refusal] = /^ {2}http-error status 503 .*$/m.exec(balancer) ?? [''];
  const headers = [...refusal.matchAll(/ hdr (\S+) ('[^']*'|\S+)/g)].map(([, name, value]) => [
    name!,
    value!.replaceAll("'", ''),
  ]);
  expect(Object.fromEntries(headers)).toEqual({
    'x-should-retry': 'true',
    'retry-after': '1',
    'access-control-allow-origin': '*',
    'access-control-expose-headers': 'x-should-retry, retry-after',
  });
});

/** Each secret, and who needs it. */
const SECRETS: Record<string, readonly (typeof SERVICES)[number][]> = {
  OPENAI_API_KEY: ['moderation', 'forwarding'],
  DAYPASS_UPSTREAM_KEYS: ['forwarding'],
  OPENAI_WEBHOOK_SECRET: ['ingress'],
  OPENAI_ADMIN_KEY: ['accounting'],
  OPENAI_SAFETY_KEY: ['accounting'],
  DATABASE_URL: ['accounting'],
  DAYPASS_ADMIN_TOKEN: ['accounting'],
  DAYPASS_AUDITOR_PASSWORD: ['accounting'],
  DAYPASS_SECRET: SERVICES,
  REDIS_URL: SERVICES,
};
const secretsOf = (service: (typeof SERVICES)[number], names: readonly string[]): void =>
  expect(names.filter((name) => name in SECRETS).toSorted()).toEqual(
    Object.keys(SECRETS)
      .filter((name) => SECRETS[name]!.includes(service))
      .toSorted(),
  );

it.each(SERVICES)('%s of Kubernetes has no secret that it does not need', (service) =>
  secretsOf(
    service,
    containerOf('production', service).env!.map(({ name }) => name),
  ),
);

describe('compose', () => {
  interface Container {
    read_only?: boolean;
    cap_drop?: string[];
    cap_add?: string[];
    security_opt?: string[];
    mem_limit?: string;
    networks?: string[];
    environment?: Record<string, string>;
    env_file?: string;
    ports?: string[];
    volumes?: string[];
    profiles?: string[];
    extends?: { file: string; service: string };
  }
  interface Compose {
    include?: string[];
    services: Record<string, Container>;
    networks: Record<string, { internal?: boolean } | null>;
  }
  const read = (file: string): Compose => parse(readFileSync(join(root, file), 'utf8'), { merge: true }) as Compose;
  const main = read('docker-compose.yml');
  const { networks } = main;
  const services: Record<string, Container> = { ...main.services, ...read('docker/upstream.yml').services };

  it.each(Object.keys(services))('gives %s no right, no place to write and no memory without a bound', (name) => {
    const { cap_add: _, ...container } = services[name]!;
    expect(container).toMatchObject({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
      mem_limit: expect.any(String),
    });
    expect(services[name]!.cap_add ?? []).toEqual(
      name === 'postgres' ? ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'SETGID', 'SETUID'] : [],
    );
  });

  it('lets only those reach a store who use it, and lets no store out', () => {
    const membersOf = (network: string): string[] =>
      Object.keys(services)
        .filter((name) => services[name]!.networks?.includes(network))
        .toSorted();
    expect(membersOf('stores')).toEqual(['accounting', 'forwarding', 'ingress', 'moderation', 'redis']);
    expect(membersOf('books')).toEqual(['accounting', 'adminer', 'postgres']);
    expect(membersOf('door')).toEqual(['balancer', 'ingress']);
    expect([networks.stores, networks.books]).toEqual([{ internal: true }, { internal: true }]);
    expect([services.redis!.networks, services.postgres!.networks]).toEqual([['stores'], ['books']]);
    for (const [name, { networks: joined = [], ports }] of Object.entries(services)) {
      expect(joined.every((network) => network in networks)).toBe(true);
      // Docker publishes no port of a container that has internal networks alone.
      if (ports)
        expect({ name, open: joined.some((network) => !networks[network]?.internal) }).toEqual({ name, open: true });
    }
  });

  it.each(SERVICES)('gives %s no secret that it does not need', (service) =>
    secretsOf(service, Object.keys(services[service]!.environment!)),
  );

  it('gives the secrets of the services to nobody else', () => {
    const others = Object.keys(services).filter((name) => !(SERVICES as readonly string[]).includes(name));
    const asked = others.flatMap((name) =>
      (JSON.stringify(services[name]!.environment ?? {}).match(/\$\{(\w+)/g) ?? []).map(
        (variable) => `${name} ${variable}`,
      ),
    );
    expect(asked.filter((one) => /SECRET|TOKEN|PASSWORD|KEY/.test(one))).toEqual([
      'secrets ${DAYPASS_SECRET',
      'secrets ${DAYPASS_ADMIN_TOKEN',
      'secrets ${DAYPASS_POSTGRES_PASSWORD',
      'secrets ${DAYPASS_REDIS_PASSWORD',
      'redis ${DAYPASS_REDIS_PASSWORD',
    ]);
    // It has them all, so it has nobody to tell them to.
    expect(services.secrets).toMatchObject({ network_mode: 'none', restart: 'no' });
    expect(services.secrets!.networks).toBeUndefined();
  });

  it('mounts the secrets that it makes only where they are needed, and nobody but their maker writes them', () => {
    const mounts = (folder: string): string[] =>
      Object.entries(services)
        .flatMap(([name, { volumes = [] }]) => volumes.map((volume) => [name, volume.split(':')] as const))
        .filter(([, [source]]) => source === `secrets-${folder}`)
        .map(([name, [, path, mode]]) => `${name} ${path} ${mode ?? 'rw'}`)
        .toSorted();
    const maker = (folder: string): string => `secrets /secrets/${folder} rw`;
    const reader = (folder: string) => (name: string) => `${name} /secrets/${folder} ro`;
    expect(mounts('services')).toEqual([...SERVICES.map(reader('services')), maker('services')].toSorted());
    expect(mounts('accounting')).toEqual([reader('accounting')('accounting'), maker('accounting')]);
    expect(mounts('redis')).toEqual([reader('redis')('redis'), maker('redis')]);
    expect(mounts('postgres')).toEqual([reader('postgres')('postgres'), maker('postgres')]);
    // The image has each folder, so that a new volume belongs to the user of the services.
    const [made] = /(?<=^RUN install .*)\/secrets\/.*$/m.exec(readFileSync(join(root, 'Dockerfile'), 'utf8')) ?? [''];
    expect(made.split(' ').toSorted()).toEqual(
      services.secrets!.volumes!.map((volume) => volume.split(':')[1]!).toSorted(),
    );
  });

  it('rehearses without an account, and with one neither runs the rehearsal nor names it', () => {
    const account = '${OPENAI_API_KEY:+-of-account}';
    expect(main.include).toEqual([`docker/upstream${account}.yml`]);
    for (const service of SERVICES) expect(services[service]!.env_file).toBe(`docker/upstream${account}.env`);
    const variablesIn = (file: string): string[] =>
      readFileSync(join(root, file), 'utf8')
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'));
    expect(read('docker/upstream.yml').services.rehearsal!.profiles).toBeUndefined();
    expect(variablesIn('docker/upstream.env')).toEqual(['DAYPASS_REHEARSAL_URL=http://rehearsal:8090/v1']);
    expect(read('docker/upstream-of-account.yml').services).toEqual({
      rehearsal: { extends: { file: 'upstream.yml', service: 'rehearsal' }, profiles: ['rehearsal'] },
    });
    expect(variablesIn('docker/upstream-of-account.env')).toEqual([]);
  });

  it('gives the services the same ports, and every image a version', () => {
    const compose = parse(readFileSync(join(root, 'docker-compose.yml'), 'utf8'), { merge: true }) as {
      services: Record<string, { image: string; healthcheck?: { test: string[] } }>;
    };
    for (const service of SERVICES)
      expect(compose.services[service]!.healthcheck!.test.join(' ')).toContain(
        `http://127.0.0.1:${containerOf('production', service).ports![0]!.containerPort}/health/ready`,
      );
    for (const { image } of Object.values(compose.services))
      expect(image).toMatch(/:(local|v?\d+\.\d+(\.\d+)?(-[a-z]+)?)$/);
    const local = OVERLAYS.local
      .filter(({ kind }) => kind === 'StatefulSet')
      .map(({ spec }): string => (spec.template.spec as IPodSpec).containers[0]!.image!);
    expect(local.toSorted()).toEqual([compose.services.postgres!.image, compose.services.redis!.image]);
  });
});
