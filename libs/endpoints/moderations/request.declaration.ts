import { either, image, list, name, object, text, variants, word, type Shape } from '../declaration.js';

/** Texts or parts. OpenAI takes as many texts of one request. */
export const INPUTS_MAX = 32;
export const IMAGES_MAX = 1;

/** Whoever adds a field says what it is. Nobody judges these texts: to ask about a text is the opposite of sending it. */
export const MODERATIONS_REQUEST: Shape = object(
  {
    model: name(/^[A-Za-z0-9_.:@/+-]{1,200}$/),
    input: either(
      text,
      list(
        either(
          text,
          variants('type', {
            text: object({ type: word('text'), text }, 'text'),
            image_url: object({ type: word('image_url'), image_url: object({ url: image }, 'url') }, 'image_url'),
          }),
        ),
        INPUTS_MAX,
        1,
      ),
    ),
  },
  'input',
);
