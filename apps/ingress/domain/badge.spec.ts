import { describe, expect, it } from '@jest/globals';
import { badgeSvg } from './badge.js';

const numbers = (svg: string, pattern: RegExp): number[] => [...svg.matchAll(pattern)].map(([, one]) => Number(one));

describe('a badge', () => {
  it.each(['0 left', '100000 left', 'not open yet', 'none left', 'no such link'])('has room for "%s"', (text) => {
    const svg = badgeSvg({ title: 'Acme', text, open: true });
    const [whole] = numbers(svg, /<svg [^>]* width="(\d+)"/g);
    const [left, right] = numbers(svg, /<rect (?:x="\d+" )?width="(\d+)" height="20" fill/g);
    const lengths = numbers(svg, /textLength="(\d+)"/g);
    expect(left! + right!).toBe(whole);
    expect(lengths).toEqual([left! - 12, right! - 12]);
    // Verdana's characters have 3 to 11 px.
    expect(lengths[1]! / text.length).toBeGreaterThan(4.5);
    expect(lengths[1]! / text.length).toBeLessThan(8);
  });

  it('has another colour where nothing is to be had', () => {
    const fills = (open: boolean): string[] =>
      [...badgeSvg({ title: 'Acme', text: 'x', open }).matchAll(/fill="(#\w{6})"/g)].map(([, color]) => color!);
    expect(fills(true)[1]).not.toBe(fills(false)[1]);
  });

  it('is well-formed whatever its title holds', () => {
    const svg = badgeSvg({ title: `<b a="'">&\u0000\u001b\uFFFF`, text: '1 left', open: true });
    expect(svg).toContain('<title>&lt;b a=&quot;&#39;&quot;&gt;&amp;   : free key, 1 left</title>');
  });
});
